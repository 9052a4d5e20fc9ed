//! Values that go into the database and come out of it.

use super::Error;
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

/// One row, its values in the order of the `SELECT`.
pub(crate) struct Row {
    values: std::vec::IntoIter<Value>,
    /// How many values have been taken.
    taken: usize,
    /// For errors.
    name: Option<Name>,
}

/// How messages name a row: by its table, its columns as in the `SELECT`, and its id.
struct Name {
    table: &'static str,
    columns: &'static str,
    id: String,
}

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row { values: values.into_iter(), taken: 0, name: None }
    }

    /// The same row, named in its errors. The first column is its id.
    pub(super) fn of(self, table: &'static str, columns: &'static str) -> Row {
        let id = match self.values.as_slice().first() {
            Some(Value::Integer(id)) => id.to_string(),
            _ => "?".to_owned(),
        };
        Row { name: Some(Name { table, columns, id }), ..self }
    }

    pub(super) fn next(&mut self) -> Value {
        self.taken += 1;
        self.values.next().unwrap_or(Value::Null)
    }

    /// The error if the value taken last is invalid.
    fn unreadable(&self, what: &str) -> Error {
        Error::Unreadable(match &self.name {
            Some(Name { table, columns, id }) => {
                let column = columns.split(", ").nth(self.taken.saturating_sub(1)).unwrap_or("a value");
                format!("{column} in row {id} of {table} {what}")
            }
            None => format!("a value in the database {what}"),
        })
    }

    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        self.optional_integer()?.ok_or_else(|| self.unreadable("is missing"))
    }

    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            Value::Text(_) => Err(self.unreadable("is text where a number belongs")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.optional_text()?.ok_or_else(|| self.unreadable("is missing"))
    }

    /// A person's name for display; older rows may contain invisible characters.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        Ok(characters::one_line(&self.text()?))
    }

    /// A mail address for passing on, cleaned for the same reason.
    pub(crate) fn address(&mut self) -> Result<String, Error> {
        Ok(address::cleaned(&self.text()?))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Error> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Integer(number) => Ok(Some(number.to_string())),
        }
    }
}
