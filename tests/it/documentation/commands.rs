//! The commands of the pages, run as they are written.

use super::page::{self, CodeBlock, DocumentationPage};
use super::scene::{PageScene, is_installed};
use crate::app::eventually;

/// Runs the commands of each page in a test of its own.
macro_rules! pages_with_commands {
    ($($test:ident: $page:literal,)*) => {
        /// The pages that have a test.
        const TESTED_PAGES: &[&str] = &[$($page),*];
        $(#[tokio::test]
        async fn $test() {
            run_commands(&DocumentationPage::read($page)).await;
        })*
    };
}

pages_with_commands! {
    the_commands_of_the_readme_run: "README.md",
    the_commands_of_the_api_run: "docs/api.md",
    the_commands_of_the_authorization_service_run: "docs/authorization-service.md",
    the_commands_of_a_postgresql_deployment_run: "docs/deploy/postgresql.md",
    the_commands_of_a_process_deployment_run: "docs/deploy/process.md",
    the_commands_of_a_redis_deployment_run: "docs/deploy/redis.md",
    the_commands_of_operations_run: "docs/operations.md",
}

#[test]
fn every_page_with_commands_has_a_test() {
    let pages = page::all().into_iter().filter(|page| page.blocks().iter().any(|block| block.tag == "sh"));
    assert_eq!(pages.map(|page| page.name).collect::<Vec<_>>(), TESTED_PAGES);
}

#[tokio::test]
async fn the_request_of_the_readme_is_decided_and_called_back() {
    let mut scene = PageScene::start().await;
    let blocks = DocumentationPage::read("README.md").blocks();
    let request = blocks.iter().find(|block| block.tag == "sh" && block.text.contains("curl")).unwrap();
    let response = scene.run(&request.text).await.unwrap();
    let id = response.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().trim();
    let callback = format!("callback {id}: allowed (acl)");
    eventually("the callback of the README", async || {
        scene.server_output().contains(&callback).then_some(())
    })
    .await;
}

async fn run_commands(page: &DocumentationPage) {
    let mut scene = PageScene::start().await;
    let blocks = page.blocks();
    for (index, block) in blocks.iter().enumerate() {
        if block.tag != "sh" {
            continue;
        }
        let place = format!("{}:{}", page.name, block.line);
        if let Some(program) = block.note.strip_prefix("needs ").filter(|program| !is_installed(program)) {
            println!("{place}: skipped, {program} is not installed");
            continue;
        }
        let output = scene.run(&block.text).await;
        let output = output.unwrap_or_else(|output| panic!("{place}: {}\nfailed:\n{output}", block.text));
        if let Some(expected) = blocks.get(index + 1).and_then(first_line_of_output) {
            let found = output.lines().any(|line| without_numbers(line) == expected);
            assert!(found, "{place}: expected {expected:?} in:\n{output}");
        }
    }
}

/// The first line of the output that a page shows for a block.
fn first_line_of_output(next: &CodeBlock) -> Option<String> {
    (next.tag == "text").then(|| without_numbers(next.text.lines().next().unwrap_or_default()))
}

/// A line with `#` for each number and each id.
fn without_numbers(line: &str) -> String {
    let words = line.trim_end().split(' ').map(|word| {
        let is_id = word.len() >= 36 && word.matches('-').count() == 4 && word.is_ascii();
        if is_id { "#".to_owned() } else { without_digits(word) }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn without_digits(word: &str) -> String {
    let mut text = String::new();
    for c in word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
        if c != '#' || !text.ends_with('#') {
            text.push(c);
        }
    }
    text
}
