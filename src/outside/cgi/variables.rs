//! The CGI variables of one request.

/// Names and values in the order in which they came. A request has some thirty, so looking at each is quicker than hashing all of
/// them. The last one of a name counts.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    pub(crate) fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(variable, _)| variable == name).map(|(_, value)| value.as_str())
    }

    /// Bytes of all names and values together.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Variables {
        Variables(Vec::from_iter(variables))
    }
}

impl<const COUNT: usize> From<[(String, String); COUNT]> for Variables {
    fn from(variables: [(String, String); COUNT]) -> Variables {
        Variables(variables.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts() {
        let variables: Variables = ["first", "last"].map(|value| ("REMOTE_ADDR".to_owned(), value.to_owned())).into();
        assert_eq!(variables.get("REMOTE_ADDR"), Some("last"));
    }
}
