//! Tables that fit the terminal.

use crate::domain::characters::one_line;
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt;

/// The width without a terminal.
const WIDE: u16 = 200;

pub struct Rows(Table);

impl Rows {
    pub fn new(header: &[&str]) -> Rows {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width()).set_header(header);
        Rows(table)
    }

    /// What strangers typed cannot begin a new row, or turn the writing direction.
    pub fn add(&mut self, cells: &[&str]) {
        self.0.add_row(cells.iter().map(|cell| one_line(cell)));
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

/// The number of rows that fit the terminal below `others` lines; without a terminal `most`.
pub fn height(most: u32, others: u16) -> u32 {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(most, |size| u32::from(size.ws_row.saturating_sub(others).max(10)))
}

fn width() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(WIDE, |size| size.ws_col).clamp(60, WIDE)
}
