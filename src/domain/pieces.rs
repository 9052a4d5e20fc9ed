//! Many short texts in one allocation: an allocation for each would take several times the memory and the time.

/// Texts that are added and never removed.
#[derive(Debug, Default)]
pub struct Pieces(String);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    start: u32,
    end: u32,
}

impl Pieces {
    /// Adds a text. Of more than 4 GiB together, the texts beyond are empty.
    pub fn add(&mut self, text: &str) -> Piece {
        let start = self.end();
        self.0.push_str(text);
        Piece { start, end: self.end() }
    }

    /// Adds a text in parts, with ASCII letters in lower case.
    pub fn add_in_lower_case(&mut self, parts: &[&str]) -> Piece {
        let start = self.0.len();
        parts.iter().for_each(|part| self.0.push_str(part));
        self.0[start..].make_ascii_lowercase();
        Piece { start: u32::try_from(start).unwrap_or(u32::MAX), end: self.end() }
    }

    /// A text that was added.
    pub fn get(&self, piece: Piece) -> &str {
        self.0.get(piece.start as usize..piece.end as usize).unwrap_or_default()
    }

    fn end(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_again() {
        let mut texts = Pieces::default();
        let pieces = [texts.add("Max"), texts.add(""), texts.add_in_lower_case(&["MAX", "@", "Bücher"]), texts.add("é")];
        assert_eq!(pieces.map(|piece| texts.get(piece)), ["Max", "", "max@bücher", "é"]);
    }
}
