//! `form_closed`: the form as the operator closed it by hand.

use super::{Column, Error, NamedRow, Selection, Store};
use crate::domain::config::Language;
use std::collections::BTreeMap;

/// The key of the text for all languages that have none of their own.
const ANY_LANGUAGE: &str = "";

/// A form that was closed by hand. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedByHand {
    pub closed_at: i64,
    /// `None`: until somebody opens it.
    pub opens_at: Option<i64>,
    /// The user of the shell.
    pub closed_by: String,
    pub texts: ClosingTexts,
}

/// What visitors are told, by language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClosingTexts(BTreeMap<String, String>);

impl ClosingTexts {
    /// Sets the text in a language; `None`: in all languages that have none of their own.
    pub fn set(&mut self, language: Option<Language>, text: String) {
        self.0.insert(language.map_or(ANY_LANGUAGE, Language::tag).to_owned(), text);
    }

    pub fn in_language(&self, language: Language) -> Option<&str> {
        self.0.get(language.tag()).or_else(|| self.0.get(ANY_LANGUAGE)).map(String::as_str)
    }

    /// A text that cannot be read is left out: the form stays closed.
    fn from_json(json: &str) -> ClosingTexts {
        ClosingTexts(serde_json::from_str(json).unwrap_or_default())
    }

    fn json(&self) -> String {
        serde_json::json!(self.0).to_string()
    }
}

impl Store {
    /// Closes the form. A form that is closed by hand already gets the new end and texts.
    pub fn close_form(&mut self, closed: &ClosedByHand) -> Result<(), Error> {
        self.transaction(|store| {
            store.execute("DELETE FROM form_closed WHERE id = 1", &[])?;
            let sql = "INSERT INTO form_closed (id, closed_at, opens_at, closed_by, texts) VALUES (1, ?, ?, ?, ?)";
            let texts = closed.texts.json();
            let values = [closed.closed_at.into(), closed.opens_at.into(), closed.closed_by.as_str().into(), texts.as_str().into()];
            store.execute(sql, &values).map(|_| ())
        })
    }

    /// Opens the form again. `false`: it was not closed by hand, or the time of that was over.
    pub fn open_form(&mut self, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            let was_closed = store.closed_by_hand(now)?.is_some();
            store.execute("DELETE FROM form_closed WHERE id = 1", &[])?;
            Ok(was_closed)
        })
    }

    /// How the form is closed by hand, if it still is.
    pub fn closed_by_hand(&mut self, now: i64) -> Result<Option<ClosedByHand>, Error> {
        const CLOSED: Selection =
            Selection { table: "form_closed", columns: &[Column::ClosedAt, Column::OpensAt, Column::ClosedBy, Column::Texts] };
        let read = |row: NamedRow| {
            Ok(ClosedByHand {
                closed_at: row.readable_integer(Column::ClosedAt).unwrap_or(0),
                opens_at: row.readable_integer(Column::OpensAt),
                closed_by: row.text(Column::ClosedBy)?,
                texts: ClosingTexts::from_json(&row.text(Column::Texts)?),
            })
        };
        let closed = self.select_first(&CLOSED, "WHERE id = 1", &[], read)?;
        Ok(closed.filter(|closed| closed.opens_at.is_none_or(|opens_at| opens_at > now)))
    }
}
