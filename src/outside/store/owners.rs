//! The accounts that own addresses, as a driver returns them: thousands in little memory.

use super::{Error, Row};
use crate::domain::pieces::{Piece, Pieces};

/// Accounts by their folded addresses, with all texts in few allocations.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    texts: Pieces,
    accounts: Vec<Owner>,
}

#[derive(Debug)]
struct Owner {
    address: Piece,
    localpart: Piece,
    id: i64,
}

impl Owners {
    /// Rows of folded address, id and localpart.
    pub(super) fn of_rows(rows: Vec<Row>) -> Result<Owners, Error> {
        let mut owners = Owners::default();
        for row in rows {
            let id = row.integer_at(1)?.ok_or_else(|| Error::Unreadable("the number of an account is missing".into()))?;
            owners.add(row.text_at(0)?, id, row.text_at(2)?);
        }
        Ok(owners)
    }

    pub(super) fn add(&mut self, address: &str, id: i64, localpart: &str) {
        self.accounts.push(Owner { address: self.texts.add(address), localpart: self.texts.add(localpart), id });
    }

    /// Pairs of folded address and localpart in the order of the addresses, with the oldest account for each.
    pub(super) fn oldest(&mut self) -> impl Iterator<Item = (&str, &str)> {
        let texts = &self.texts;
        let place = |owner: &Owner| (texts.get(owner.address), owner.id);
        if !self.accounts.is_sorted_by_key(place) {
            self.accounts.sort_unstable_by(|one, other| place(one).cmp(&place(other)));
        }
        self.accounts.dedup_by(|later, first| texts.get(later.address) == texts.get(first.address));
        self.accounts.iter().map(|owner| (texts.get(owner.address), texts.get(owner.localpart)))
    }
}
