//! The pages of `docs/hosts`: the tests run exactly the lines that the pages show.

use super::{SiteFolder, WebServer, has_internal};
use std::fs;
use std::path::Path;

/// One page, with its example values replaced.
pub struct Page {
    name: String,
    text: String,
}

impl Page {
    /// Reads `docs/hosts/NAME.md`; panics if it does not contain an example value.
    pub fn read(name: &str, replacements: &[(&str, &str)]) -> Page {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/hosts/{name}.md"));
        let mut text = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        for (example, real) in replacements {
            assert!(text.contains(example), "{} does not contain {example}", path.display());
            text = text.replace(example, real);
        }
        Page { name: name.to_owned(), text }
    }

    /// The code block below a heading.
    pub fn lines(&self, heading: &str) -> &str {
        let part = self.text.split_once(&format!("\n## {heading}\n")).map(|(_, rest)| rest.split("\n## ").next().unwrap_or(rest));
        let fence = part.and_then(|part| part.split_once("\n```")).and_then(|(_, rest)| rest.split_once('\n'));
        let (lines, _) = fence.and_then(|(_, rest)| rest.split_once("```")).unwrap_or_else(|| {
            panic!("docs/hosts/{}.md has no fenced lines below \"{heading}\"", self.name);
        });
        lines
    }
}

/// The lines for one site: those inside the public server, and those beside it.
pub struct Snippets {
    pub world: String,
    pub beside: String,
}

impl Snippets {
    /// The lines of a page for this site, at the root or in the subfolder, with the internal programs if the site has them.
    pub fn of(page: &Page, site: &SiteFolder) -> Snippets {
        let pages = if site.is_in_folder() { "The pages in a subfolder" } else { "The pages" };
        let mut snippets = Snippets { world: page.lines(pages).to_owned(), beside: String::new() };
        if has_internal(site) {
            snippets.world += page.lines("Password changes");
            snippets.beside = page.lines("What Synapse and identity servers ask").to_owned();
        }
        snippets
    }

    /// Puts further lines beside the public server.
    pub fn with_beside(mut self, lines: &str) -> Snippets {
        self.beside.insert_str(0, lines);
        self
    }

    /// Writes the files that the surrounding configuration includes.
    pub fn write(&self, server: &WebServer) {
        fs::write(server.folder.join("world.conf"), &self.world).unwrap();
        fs::write(server.folder.join("beside.conf"), &self.beside).unwrap();
    }
}
