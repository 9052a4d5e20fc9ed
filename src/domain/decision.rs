//! Who decided about a request, in which way, and what came of it.

/// Who decided, or asked the applicant something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decider {
    /// Somebody who has the link from the room; the link does not tell who.
    Link,
    /// A member of the room, by this Matrix id, with a reaction to the message.
    Reaction(String),
    /// A member of the room, by this Matrix id, with a reply or a command, which is this event.
    Word { mxid: String, event_id: String },
    /// The operator, in a shell, by the name of the user there.
    Operator(String),
    /// Nobody: the time to decide was over.
    Time,
}

impl Decider {
    pub fn way(&self) -> Way {
        match self {
            Decider::Link => Way::Link,
            Decider::Reaction(_) => Way::Reaction,
            Decider::Word { .. } => Way::Word,
            Decider::Operator(_) => Way::Operator,
            Decider::Time => Way::Time,
        }
    }

    /// The event with the words.
    pub fn words(&self) -> Option<&str> {
        match self {
            Decider::Word { event_id, .. } => Some(event_id),
            _ => None,
        }
    }

    /// The Matrix id, if the way tells it.
    pub fn mxid(&self) -> Option<&str> {
        match self {
            Decider::Reaction(mxid) | Decider::Word { mxid, .. } => Some(mxid),
            Decider::Link | Decider::Operator(_) | Decider::Time => None,
        }
    }

    /// The Matrix id, or the name of the user in the shell, as the list of decisions keeps it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Decider::Operator(user) => Some(user),
            other => other.mxid(),
        }
    }
}

/// The ways in which a decision is made: the texts `decider.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Link,
    Reaction,
    Word,
    Operator,
    Time,
}

impl Way {
    pub const ALL: [Way; 5] = [Way::Link, Way::Reaction, Way::Word, Way::Operator, Way::Time];

    /// The name in the database and in the texts.
    pub fn name(self) -> &'static str {
        match self {
            Way::Link => "link",
            Way::Reaction => "reaction",
            Way::Word => "word",
            Way::Operator => "operator",
            Way::Time => "time",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// What was decided: the texts `outcome.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Approved,
    Declined,
    /// Declined without a mail to the applicant.
    DeclinedSilently,
    /// Nobody decided in time.
    Undecided,
    /// The operator ended the request.
    Ended,
    /// A no was taken back; the request waits for a decision again.
    TakenBack,
    /// The applicant was asked something; the reason is the question.
    Asked,
}

impl Outcome {
    pub const ALL: [Outcome; 7] = [
        Outcome::Approved,
        Outcome::Declined,
        Outcome::DeclinedSilently,
        Outcome::Undecided,
        Outcome::Ended,
        Outcome::TakenBack,
        Outcome::Asked,
    ];

    /// The name in the database and in the texts.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Approved => "approved",
            Outcome::Declined => "declined",
            Outcome::DeclinedSilently => "declined_silently",
            Outcome::Undecided => "undecided",
            Outcome::Ended => "ended",
            Outcome::TakenBack => "taken_back",
            Outcome::Asked => "asked",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_the_database_is_read_as_the_same() {
        assert!(Way::ALL.into_iter().all(|way| Way::from_name(way.name()) == Some(way)));
        assert!(Outcome::ALL.into_iter().all(|outcome| Outcome::from_name(outcome.name()) == Some(outcome)));
        assert_eq!((Way::from_name(""), Outcome::from_name("Approved")), (None, None));
    }

    #[test]
    fn only_a_member_of_the_room_has_a_matrix_id() {
        let mxid = "@mod:example.org".to_owned();
        let word = Decider::Word { mxid: mxid.clone(), event_id: "$words".into() };
        let ways = [Decider::Link, Decider::Reaction(mxid), word, Decider::Operator("anna".into()), Decider::Time];
        assert_eq!(ways.iter().map(Decider::way).collect::<Vec<_>>(), Way::ALL);
        assert_eq!(ways.map(|by| by.mxid().is_some()), [false, true, true, false, false]);
    }
}
