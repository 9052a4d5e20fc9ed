//! Many short texts in few allocations: an allocation for each would take several times the memory and the time.

/// Bytes in one allocation. A single one that grows would be moved again and again, and leave holes in the memory of the process.
const BLOCK: usize = u16::MAX as usize;

/// Bytes in the first one, which is enough for a small address book.
const FIRST_BLOCK: usize = 4096;

/// Texts that are added and never removed, each shorter than 64 KiB.
#[derive(Debug, Default)]
pub struct Pieces(Vec<String>);

/// One of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Piece {
    block: u16,
    start: u16,
    length: u16,
}

impl Pieces {
    /// Adds a text. A longer one, and all texts beyond 4 GB, are kept as empty ones.
    pub fn add(&mut self, text: &str) -> Piece {
        self.piece(&[text]).unwrap_or_default()
    }

    /// Adds a text in parts, with ASCII letters in lower case.
    pub fn add_in_lower_case(&mut self, parts: &[&str]) -> Piece {
        let Some(piece) = self.piece(parts) else { return Piece::default() };
        if let Some(text) = self.0.last_mut().and_then(|block| block.get_mut(piece.start.into()..)) {
            text.make_ascii_lowercase();
        }
        piece
    }

    /// A text that was added.
    pub fn get(&self, piece: Piece) -> &str {
        let start = usize::from(piece.start);
        self.0.get(usize::from(piece.block)).and_then(|block| block.get(start..start + usize::from(piece.length))).unwrap_or_default()
    }

    /// The new end of the last block. `None`: there is no room.
    fn piece(&mut self, parts: &[&str]) -> Option<Piece> {
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        let length = u16::try_from(bytes).ok()?;
        if self.0.last().is_none_or(|block| block.capacity().min(BLOCK) - block.len() < bytes) {
            let room = if self.0.is_empty() { FIRST_BLOCK } else { BLOCK };
            self.0.push(String::with_capacity(room.max(bytes)));
        }
        let block = u16::try_from(self.0.len() - 1).ok()?;
        let text = self.0.last_mut()?;
        let start = u16::try_from(text.len()).ok()?;
        parts.iter().for_each(|part| text.push_str(part));
        Some(Piece { block, start, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_again() {
        let mut texts = Pieces::default();
        let pieces = [texts.add("Max"), texts.add(""), texts.add_in_lower_case(&["MAX", "@", "Bücher"]), texts.add("É")];
        assert_eq!(pieces.map(|piece| texts.get(piece)), ["Max", "", "max@bücher", "É"]);
    }

    #[test]
    fn texts_of_every_length_are_found_again_whatever_block_they_are_in() {
        let mut texts = Pieces::default();
        let all: Vec<String> = [0, 1, 40_000, 30_000, 65_535, 0, 1, 65_534, 1, 1, 300]
            .iter()
            .map(|length| "ü".repeat(length / 2) + &"X".repeat(length % 2))
            .collect();
        let (as_is, lower): (Vec<Piece>, Vec<Piece>) =
            all.iter().map(|text| (texts.add(text), texts.add_in_lower_case(&[text, ""]))).unzip();
        let too_long = [texts.add(&"x".repeat(65_536)), texts.add_in_lower_case(&[&"X".repeat(40_000), &"X".repeat(40_000)])];
        for ((text, as_is), lower) in all.iter().zip(as_is).zip(lower) {
            assert_eq!((texts.get(as_is), texts.get(lower)), (text.as_str(), text.to_ascii_lowercase().as_str()));
        }
        assert_eq!(too_long.map(|piece| texts.get(piece)), ["", ""]);
    }
}
