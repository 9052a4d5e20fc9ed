//! Values that go into the database and come out of it.

use super::Error;
use super::columns::{Column, Selection};
use crate::domain::{address, characters};

/// A value on its way into or out of the database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// Texts as one value: a JSON array.
pub(super) fn list_of(texts: &[&str]) -> Value {
    Value::Text(serde_json::to_string(texts).unwrap_or_default())
}

/// A row from a driver, with values in the order of the `SELECT`.
#[derive(Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row(values)
    }

    /// The same row, for reading by column name.
    pub(super) fn named(self, selection: &'static Selection) -> NamedRow {
        NamedRow { selection, values: self.0 }
    }

    /// The only or first value of a `SELECT` without named columns, such as a count or the last id.
    pub(crate) fn optional_integer(&self) -> Result<Option<i64>, Error> {
        self.integer_at(0)
    }

    /// The value at a position, counted from 0.
    pub(super) fn integer_at(&self, place: usize) -> Result<Option<i64>, Error> {
        integer(self.0.get(place)).map_err(|what| Error::Unreadable(format!("a value in the database {what}")))
    }

    pub(crate) fn integer(&self) -> Result<i64, Error> {
        self.optional_integer()?.ok_or_else(|| Error::Unreadable("a number in the database is missing".into()))
    }

    pub(crate) fn text(&self) -> Result<String, Error> {
        text(self.0.first()).ok_or_else(|| Error::Unreadable("a text in the database is missing".into()))
    }

    /// The text at a position, counted from 0.
    pub(super) fn text_at(&self, place: usize) -> Result<&str, Error> {
        match self.0.get(place) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(Error::Unreadable("a text in the database is missing".into())),
        }
    }
}

/// A row that is read by column name.
pub(super) struct NamedRow {
    selection: &'static Selection,
    values: Vec<Value>,
}

impl NamedRow {
    fn value(&self, column: Column) -> Option<&Value> {
        let place = self.selection.columns.iter().position(|selected| *selected == column)?;
        self.values.get(place)
    }

    fn unreadable(&self, column: Column, what: &str) -> Error {
        let id = match self.value(Column::Id) {
            Some(Value::Integer(id)) => id.to_string(),
            _ => "?".to_owned(),
        };
        Error::Unreadable(format!("{} in row {id} of {} {what}", column.name(), self.selection.table))
    }

    pub(super) fn integer(&self, column: Column) -> Result<i64, Error> {
        self.optional_integer(column)?.ok_or_else(|| self.unreadable(column, MISSING))
    }

    pub(super) fn optional_integer(&self, column: Column) -> Result<Option<i64>, Error> {
        integer(self.value(column)).map_err(|what| self.unreadable(column, what))
    }

    /// A number, if the value is one.
    pub(super) fn readable_integer(&self, column: Column) -> Option<i64> {
        integer(self.value(column)).ok().flatten()
    }

    pub(super) fn text(&self, column: Column) -> Result<String, Error> {
        self.optional_text(column).ok_or_else(|| self.unreadable(column, MISSING))
    }

    pub(super) fn optional_text(&self, column: Column) -> Option<String> {
        text(self.value(column))
    }

    /// A person's name for display; older rows may contain invisible characters.
    pub(super) fn name(&self, column: Column) -> Result<String, Error> {
        Ok(characters::one_line(&self.text(column)?))
    }

    /// A mail address for passing on, cleaned for the same reason.
    pub(super) fn address(&self, column: Column) -> Result<String, Error> {
        Ok(address::cleaned(&self.text(column)?))
    }
}

const MISSING: &str = "is missing";

fn integer(value: Option<&Value>) -> Result<Option<i64>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Integer(number)) => Ok(Some(*number)),
        Some(Value::Text(_)) => Err("is text where a number belongs"),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) => Some(text.clone()),
        Some(Value::Integer(number)) => Some(number.to_string()),
    }
}
