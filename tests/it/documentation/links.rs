//! Links to files and headings.

use std::path::{Component, Path, PathBuf};

use super::page::{self, DocumentationPage};

/// The extensions of the files that ARCHITECTURE.md names.
const EXTENSIONS: [&str; 6] = ["json", "md", "rs", "sql", "toml", "wit"];

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for page in page::all() {
        for (line, link) in page.links() {
            if !link.contains("://") && !leads_somewhere(&page, link) {
                broken.push(format!("{}:{line}: {link}", page.name));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_of_the_documentation_is_linked() {
    let pages = page::all();
    let linked: Vec<_> = pages
        .iter()
        .flat_map(|page| page.links().into_iter().map(|(_, link)| resolve(&page.name, link).0))
        .collect();
    for page in &pages {
        assert!(page.name == "README.md" || linked.contains(&PathBuf::from(&page.name)), "{}", page.name);
    }
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let architecture = DocumentationPage::read("ARCHITECTURE.md");
    let mut missing = Vec::new();
    for (line, text) in architecture.prose() {
        for code in text.split('`').skip(1).step_by(2) {
            let path = Path::new(code);
            let is_file =
                path.extension().is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known));
            if is_file && code.contains('/') && !page::root().join(path).exists() {
                missing.push(format!("{line}: {code}"));
            }
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}

fn leads_somewhere(page: &DocumentationPage, link: &str) -> bool {
    let (file, anchor) = resolve(&page.name, link);
    if !page::root().join(&file).exists() {
        return false;
    }
    anchor.is_none_or(|anchor| {
        let target = DocumentationPage::read(file.to_str().unwrap());
        target.anchors().iter().any(|known| known == anchor)
    })
}

/// The file that a link names, relative to the root of the workspace, and its anchor.
fn resolve<'a>(page: &str, link: &'a str) -> (PathBuf, Option<&'a str>) {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    if file.is_empty() {
        return (PathBuf::from(page), anchor);
    }
    let mut path = Path::new(page).parent().unwrap().to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    (path, anchor)
}
