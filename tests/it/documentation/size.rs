//! The limits that keep the pages readable.

use super::page::{self, DocumentationPage};
use crate::app::program;

#[test]
fn the_readme_has_at_most_200_lines() {
    assert!(DocumentationPage::read("README.md").text.lines().count() <= 200);
}

#[test]
fn the_architecture_has_fewer_than_150_lines() {
    assert!(DocumentationPage::read("ARCHITECTURE.md").text.lines().count() < 150);
}

#[test]
fn no_table_cell_of_the_guarantees_exceeds_200_characters() {
    let guarantees = DocumentationPage::read("docs/guarantees.md");
    for (line, text) in guarantees.prose() {
        if text.starts_with('|') {
            for cell in text.split('|') {
                assert!(cell.trim().chars().count() <= 200, "line {line}: {cell}");
            }
        }
    }
}

#[test]
fn every_block_that_is_not_run_states_the_reason() {
    for page in page::all() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.name, block.line);
            match block.tag.as_str() {
                "console" => assert!(!block.note.is_empty(), "{place}: `console` without a reason"),
                "sh" => assert!(block.note.is_empty() || block.note.starts_with("needs "), "{place}"),
                // The test of signatures runs the languages, except Go and Rust.
                "go" | "java" | "js" | "json" | "mermaid" | "php" | "python" | "ruby" | "rust" | "sql"
                | "text" | "toml" => {}
                other => panic!("{place}: unknown tag {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_configuration_page_describes_the_flags_of_the_program() {
    let output = program().arg("reference").env_clear().output().await.unwrap();
    let expected = String::from_utf8(output.stdout).unwrap();
    let page = DocumentationPage::read("docs/configuration.md");
    assert!(page.text == expected, "docs/configuration.md differs: run `cargo xtask docs`");
}
