//! What people write in answer to a message of the bot. Pure, no I/O.
//!
//! Strict, because a wrong guess decides about somebody: "no idea, who knows him?" is no decline. In a reply only these words count:
//! exactly `approve` or `decline`; `decline:` with a reason; and everything that begins with `!`. In a thread, where people talk,
//! only what begins with `!` counts. Anything else is talk.

use crate::domain::names;
use crate::domain::number::Number;

/// Where something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A reply to the message about a request.
    Reply,
    /// The thread under that message.
    Thread,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Approve,
    /// `silently`: the applicant gets no mail.
    Decline {
        reason: Option<String>,
        silently: bool,
    },
    /// Take a no back.
    Reopen,
    /// Mail this question to the applicant.
    Ask(String),
    /// Who decided, and what is known of the request.
    Who,
    /// The requests that wait for a decision.
    List,
    Help,
}

/// Why a command is not carried out; the answer in the thread says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// It begins with `!` and is no command.
    Unknown,
    /// The command has words behind it that it has no use for.
    TooMuch,
    /// `!ask` without a question.
    NothingAsked,
    /// A reason or a question is longer than a note may be.
    TooLong,
    /// There is no reason with this number in the configuration.
    NoSuchReason,
    /// The command names another request than the one whose message it answers.
    OtherRequest,
}

/// What a message of a person means to the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Not for the bot.
    Talk,
    Command(Command),
    Mistake(Mistake),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Approve,
    Decline,
    Reopen,
    Ask,
    Who,
    List,
    Help,
}

/// The words of one language: each text may have several words, separated by commas.
#[derive(Debug, Clone, Copy)]
pub struct Spoken<'a> {
    pub approve: &'a str,
    pub decline: &'a str,
    pub silently: &'a str,
    pub reopen: &'a str,
    pub ask: &'a str,
    pub who: &'a str,
    pub list: &'a str,
    pub help: &'a str,
}

/// The words that count, and the reasons that a number stands for.
#[derive(Debug)]
pub struct Words {
    verbs: Vec<(String, Verb)>,
    silently: Vec<String>,
    reasons: Vec<String>,
}

impl Words {
    /// `reasons` are those of the configuration; `!decline 1` means the first one.
    pub fn new(languages: &[Spoken], reasons: &[String]) -> Words {
        let each = |words: &str| words.split(',').map(|word| word.trim().to_lowercase()).collect::<Vec<_>>();
        let mut verbs = Vec::new();
        for spoken in languages {
            let texts = [
                (spoken.approve, Verb::Approve),
                (spoken.decline, Verb::Decline),
                (spoken.reopen, Verb::Reopen),
                (spoken.ask, Verb::Ask),
                (spoken.who, Verb::Who),
                (spoken.list, Verb::List),
                (spoken.help, Verb::Help),
            ];
            verbs.extend(texts.iter().flat_map(|(text, verb)| each(text).into_iter().map(|word| (word, *verb))));
        }
        let silently = languages.iter().flat_map(|spoken| each(spoken.silently)).collect();
        Words { verbs, silently, reasons: reasons.to_vec() }
    }

    /// The meaning of the `body` of a message that answers the one about request `of`.
    pub fn read(&self, body: &str, place: Place, of: Number) -> Meaning {
        let own = without_quote(body).trim();
        match own.strip_prefix('!') {
            Some(command) => self.command(command, of),
            None if place == Place::Thread => Meaning::Talk,
            None => self.reply(own, of),
        }
    }

    /// `approve`, `decline`, `decline: reason`; the number of the request may stand behind the word.
    fn reply(&self, own: &str, of: Number) -> Meaning {
        let (word, rest) = own.split_once(char::is_whitespace).unwrap_or((own, ""));
        let (Some((number, others)), Some(Verb::Approve | Verb::Decline)) = (number_first(rest), self.verb(word.trim_end_matches(':')))
        else {
            return self.decision(own);
        };
        let has_colon = word.ends_with(':') || rest.split_whitespace().next().is_some_and(|number| number.ends_with(':'));
        match (others, has_colon) {
            ("", _) | (_, true) if number != of => Meaning::Mistake(Mistake::OtherRequest),
            ("", _) => self.decision(word.trim_end_matches(':')),
            (_, true) => self.decision(&format!("{}: {others}", word.trim_end_matches(':'))),
            (_, false) => Meaning::Talk,
        }
    }

    fn decision(&self, own: &str) -> Meaning {
        let (word, reason) = match own.split_once(':') {
            Some((word, reason)) => (word, Some(reason.trim())),
            None => (own, None),
        };
        match (self.verb(word), reason) {
            (Some(Verb::Approve), None) => Meaning::Command(Command::Approve),
            (Some(Verb::Decline), reason) => self.decline(reason.unwrap_or_default(), false),
            _ => Meaning::Talk,
        }
    }

    /// What stands behind the `!`.
    fn command(&self, command: &str, of: Number) -> Meaning {
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        // People who know the reply with its colon write it here as well.
        let verb = self.verb(word.trim_end_matches(':'));
        let rest = match rest_about(rest.trim(), of) {
            Some(rest) => rest,
            None if verb.is_some() => return Meaning::Mistake(Mistake::OtherRequest),
            None => rest,
        };
        let alone = |command: Command| if rest.is_empty() { Meaning::Command(command) } else { Meaning::Mistake(Mistake::TooMuch) };
        match verb {
            Some(Verb::Approve) => alone(Command::Approve),
            Some(Verb::Reopen) => alone(Command::Reopen),
            Some(Verb::Who) => alone(Command::Who),
            Some(Verb::List) => alone(Command::List),
            Some(Verb::Help) => alone(Command::Help),
            Some(Verb::Ask) if rest.is_empty() => Meaning::Mistake(Mistake::NothingAsked),
            Some(Verb::Ask) => match names::note(rest) {
                Some(question) if question.is_empty() => Meaning::Mistake(Mistake::NothingAsked),
                Some(question) => Meaning::Command(Command::Ask(question)),
                None => Meaning::Mistake(Mistake::TooLong),
            },
            Some(Verb::Decline) => {
                let (first, others) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                match self.silently.contains(&first.trim_end_matches(':').to_lowercase()) {
                    true => match rest_about(others.trim(), of) {
                        Some(reason) => self.decline(reason, true),
                        None => Meaning::Mistake(Mistake::OtherRequest),
                    },
                    false => self.decline(rest, false),
                }
            }
            // "!!!" and "!?" are talk.
            None if word.chars().any(char::is_alphabetic) => Meaning::Mistake(Mistake::Unknown),
            None => Meaning::Talk,
        }
    }

    fn decline(&self, reason: &str, silently: bool) -> Meaning {
        let reason = match reason.trim().parse::<usize>() {
            Ok(number) => match number.checked_sub(1).and_then(|index| self.reasons.get(index)) {
                Some(reason) => reason,
                None => return Meaning::Mistake(Mistake::NoSuchReason),
            },
            Err(_) => reason,
        };
        match names::note(reason) {
            Some(reason) => Meaning::Command(Command::Decline { reason: Some(reason).filter(|reason| !reason.is_empty()), silently }),
            None => Meaning::Mistake(Mistake::TooLong),
        }
    }

    fn verb(&self, word: &str) -> Option<Verb> {
        let word = word.trim().to_lowercase();
        self.verbs.iter().find(|(known, _)| *known == word).map(|(_, verb)| *verb)
    }
}

/// What follows the number of this request, or all if no number comes first; `None`: it is the number of another request.
fn rest_about(rest: &str, of: Number) -> Option<&str> {
    match number_first(rest) {
        None => Some(rest),
        Some((number, others)) => (number == of).then_some(others),
    }
}

/// A number with its sign at the beginning, and the rest. Without the sign it is the number of a reason.
fn number_first(rest: &str) -> Option<(Number, &str)> {
    let (first, others) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let number = Number::parse(first.trim_end_matches([':', ','])).filter(|_| first.starts_with('#'))?;
    Some((number, others.trim()))
}

/// A body without the quoted message that some clients put before a reply: lines that begin with `> `, and an empty line.
fn without_quote(body: &str) -> &str {
    let mut rest = body;
    while rest.starts_with("> ") || rest.starts_with(">\n") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    if rest.len() < body.len() { rest.trim_start_matches('\n') } else { body }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Spoken = Spoken {
        approve: "approve",
        decline: "decline",
        silently: "silently",
        reopen: "reopen, undo",
        ask: "ask",
        who: "who",
        list: "list",
        help: "help",
    };
    const GERMAN: Spoken = Spoken {
        approve: "genehmigen, annehmen",
        decline: "ablehnen",
        silently: "still",
        reopen: "zurücknehmen, wiederöffnen",
        ask: "fragen, frage",
        who: "wer",
        list: "liste",
        help: "hilfe",
    };

    const THIS: Number = Number(1042);

    fn words() -> Words {
        Words::new(&[ENGLISH, GERMAN], &["We only know people from the choir.".into(), "Please write to Greta.".into()])
    }

    fn declined(reason: &str, silently: bool) -> Meaning {
        Meaning::Command(Command::Decline { reason: Some(reason.into()).filter(|reason: &String| !reason.is_empty()), silently })
    }

    #[test]
    fn a_reply_decides_with_one_word_or_with_a_reason() {
        let approve = Meaning::Command(Command::Approve);
        for (body, meaning) in [
            ("approve", approve.clone()),
            (" Approve\n", approve.clone()),
            ("genehmigen", approve.clone()),
            ("annehmen", approve.clone()),
            ("!approve", approve),
            ("decline", declined("", false)),
            ("decline: spam", declined("spam", false)),
            ("Ablehnen: kennen wir nicht", declined("kennen wir nicht", false)),
            ("decline: 2", declined("Please write to Greta.", false)),
            ("!decline 2", declined("Please write to Greta.", false)),
            ("!decline: spam", declined("spam", false)),
            ("!decline two of you", declined("two of you", false)),
            ("!decline silently", declined("", true)),
            ("!decline silently spam", declined("spam", true)),
            ("!ablehnen still 1", declined("We only know people from the choir.", true)),
            ("!ask Which voice\ndo you sing?", Meaning::Command(Command::Ask("Which voice\ndo you sing?".into()))),
            ("!reopen", Meaning::Command(Command::Reopen)),
            ("!undo", Meaning::Command(Command::Reopen)),
            ("!Zurücknehmen", Meaning::Command(Command::Reopen)),
            ("!who", Meaning::Command(Command::Who)),
            ("!liste", Meaning::Command(Command::List)),
            ("!HELP ", Meaning::Command(Command::Help)),
        ] {
            assert_eq!(words().read(body, Place::Reply, THIS), meaning, "{body:?}");
        }
    }

    #[test]
    fn the_number_of_another_request_is_never_taken_for_a_reason() {
        let approve = Meaning::Command(Command::Approve);
        let another = Meaning::Mistake(Mistake::OtherRequest);
        for (body, meaning) in [
            ("!approve #1042", approve.clone()),
            ("approve #1042", approve),
            ("!decline #1042 spam", declined("spam", false)),
            ("!decline #1042: 2", declined("Please write to Greta.", false)),
            ("decline: #1042 spam", declined("spam", false)),
            ("decline #1042: spam", declined("spam", false)),
            ("decline #1042", declined("", false)),
            ("!decline silently #1042", declined("", true)),
            ("!decline 1", declined("We only know people from the choir.", false)),
            ("!who #1042", Meaning::Command(Command::Who)),
            ("!ask #1042 Which voice?", Meaning::Command(Command::Ask("Which voice?".into()))),
            ("!approve #1043", another.clone()),
            ("approve #1043", another.clone()),
            ("decline: #1043", another.clone()),
            ("decline: #1043 spam", another.clone()),
            ("decline #1043: spam", another.clone()),
            ("!decline #1043", another.clone()),
            ("!decline #1, spam", another.clone()),
            ("!decline silently #1043", another.clone()),
            ("!who #1043", another.clone()),
            ("!ask #1043 Which voice?", another),
            ("approve #1043 is the same person", Meaning::Talk),
            ("approve #1042 first?", Meaning::Talk),
            ("#1043", Meaning::Talk),
        ] {
            assert_eq!(words().read(body, Place::Reply, THIS), meaning, "{body:?}");
        }
        assert_eq!(words().read("!decline #spam", Place::Thread, THIS), declined("#spam", false));
    }

    #[test]
    fn talk_decides_nothing() {
        let bodies = [
            "",
            "yes",
            "no idea, who knows him?",
            "approve?",
            "approve!",
            "approve: sure",
            "I would approve",
            "decline him",
            "who is that",
            "help",
            "ask him",
            "declined: spam",
            "reopen",
            "undo",
            "!!!",
            "!",
            "! approve",
            "!?",
            "> decline",
            "/approve",
            "approve\ndecline",
        ];
        for body in bodies {
            assert_eq!(words().read(body, Place::Reply, THIS), Meaning::Talk, "{body:?}");
        }
    }

    #[test]
    fn in_a_thread_only_commands_count() {
        for body in ["approve", "decline", "decline: spam", "genehmigen", "no, wait"] {
            assert_eq!(words().read(body, Place::Thread, THIS), Meaning::Talk, "{body:?}");
        }
        assert_eq!(words().read("!approve", Place::Thread, THIS), Meaning::Command(Command::Approve));
    }

    #[test]
    fn a_quoted_message_is_no_command() {
        let quoted = "> <@regbot:example.test> Max wants in\n> decline: no\n\n";
        assert_eq!(words().read(&format!("{quoted}decline: spam"), Place::Reply, THIS), declined("spam", false));
        assert_eq!(words().read(&format!("{quoted}well"), Place::Reply, THIS), Meaning::Talk);
        assert_eq!(words().read("> decline: no", Place::Reply, THIS), Meaning::Talk);
        assert_eq!(words().read(">\n> x\n\n\n!approve", Place::Thread, THIS), Meaning::Command(Command::Approve));
    }

    #[test]
    fn a_command_that_cannot_be_meant_is_answered_and_not_carried_out() {
        let long = "x".repeat(names::NOTE_MAX_CHARACTERS + 1);
        for (body, mistake) in [
            ("!approve not", Mistake::TooMuch),
            ("!help me", Mistake::TooMuch),
            ("!undo that", Mistake::TooMuch),
            ("!accept", Mistake::Unknown),
            ("!approved", Mistake::Unknown),
            ("!ask", Mistake::NothingAsked),
            ("!ask \u{200b}", Mistake::NothingAsked),
            ("!decline 3", Mistake::NoSuchReason),
            ("decline: 0", Mistake::NoSuchReason),
            (&format!("!decline {long}"), Mistake::TooLong),
            (&format!("!ask {long}"), Mistake::TooLong),
        ] {
            assert_eq!(words().read(body, Place::Reply, THIS), Meaning::Mistake(mistake), "{body:.20}");
        }
    }
}
