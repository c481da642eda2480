//! A page of the documentation: its code blocks, headings and links.

use std::fs;
use std::path::{Path, PathBuf};

/// The pages outside of `docs/`.
const ROOT_PAGES: [&str; 6] =
    ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "benches/RESULTS.md"];

/// A Markdown file.
pub(super) struct DocumentationPage {
    /// The path relative to the root of the workspace.
    pub(super) name: String,
    pub(super) text: String,
}

/// A fenced block of code.
#[derive(Clone, Debug)]
pub(super) struct CodeBlock {
    /// The line of its opening fence, from 1.
    pub(super) line: usize,
    /// The language.
    pub(super) tag: String,
    /// The words after the language.
    pub(super) note: String,
    pub(super) text: String,
}

/// The root of the workspace.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every page, in a stable order.
pub(super) fn all() -> Vec<DocumentationPage> {
    let mut names: Vec<_> = ROOT_PAGES.iter().map(ToString::to_string).collect();
    for folder in ["docs", "docs/deploy"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&file).extension().is_some_and(|extension| extension == "md") {
                names.push(format!("{folder}/{file}"));
            }
        }
    }
    names.sort();
    names.iter().map(|name| DocumentationPage::read(name)).collect()
}

impl DocumentationPage {
    /// Reads a page by its path relative to the root of the workspace.
    pub(super) fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text }
    }

    /// Its code blocks.
    pub(super) fn blocks(&self) -> Vec<CodeBlock> {
        let mut blocks = Vec::new();
        let mut open: Option<CodeBlock> = None;
        for (index, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (fence, &mut open) {
                (Some(info), None) => {
                    let (tag, note) = info.split_once(' ').unwrap_or((info, ""));
                    let (tag, note) = (tag.to_owned(), note.trim().to_owned());
                    open = Some(CodeBlock { line: index + 1, tag, note, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a code block does not end", self.name);
        blocks
    }

    /// Its lines outside of code blocks, with their numbers from 1.
    pub(super) fn prose(&self) -> Vec<(usize, &str)> {
        let mut in_block = false;
        let mut lines = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            } else if !in_block {
                lines.push((index + 1, line));
            }
        }
        lines
    }

    /// The anchors of its headings, as GitHub derives them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut plain: Vec<String> = Vec::new();
        let mut anchors = Vec::new();
        for (_, line) in self.prose() {
            if let Some(heading) = line.strip_prefix('#') {
                let heading = heading.trim_start_matches('#').trim();
                let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
                let repeats = plain.iter().filter(|other| **other == anchor).count();
                anchors.push(if repeats == 0 { anchor.clone() } else { format!("{anchor}-{repeats}") });
                plain.push(anchor);
            }
        }
        anchors
    }

    /// The targets of its links, with the numbers of their lines.
    pub(super) fn links(&self) -> Vec<(usize, &str)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            links.extend(
                line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(|link| (number, link)),
            );
        }
        links
    }
}
