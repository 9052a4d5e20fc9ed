//! What goes into the database and comes out of it.

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
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row(values.into_iter())
    }

    pub(super) fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Null)
    }

    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        self.optional_integer()?.ok_or_else(|| Error::Unfit("a number is missing in the database".into()))
    }

    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            Value::Text(_) => Err(Error::Unfit("there is text where a number should be in the database".into())),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.optional_text()?.ok_or_else(|| Error::Unfit("a text is missing in the database".into()))
    }

    /// A person's name as it may be shown: rows of former times may hold characters that cannot be seen.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        Ok(characters::one_line(&self.text()?))
    }

    /// A mail address as it may be handed on, for the same reason.
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
