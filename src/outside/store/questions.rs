//! `questions`: what the moderators asked an applicant, and the answers. Also the usual time to a decision.

use super::{Column, Error, NamedRow, Row, Selection, Store};
use crate::domain::decision::{Decider, Outcome};
use crate::domain::registration::{SideAction, State};
use crate::outside::fault;

/// The largest number of questions for one request.
pub const MOST_QUESTIONS: i64 = 20;
/// How many decisions the usual time to an answer is taken from.
const DECISIONS: usize = 20;
/// With fewer decisions there is no usual time.
const FEWEST_DECISIONS: usize = 3;

/// A question of the moderators. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub id: i64,
    pub question: String,
    pub asked_at: i64,
    /// A Matrix id; `None`: the operator, or somebody with the link from the room.
    pub asked_by: Option<String>,
    pub answer: Option<String>,
    pub answered_at: Option<i64>,
}

/// The result of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The id of the question, whose mail is owed now.
    Yes(i64),
    /// The request does not wait for a decision.
    NotUndecided,
    /// The request has [`MOST_QUESTIONS`] already.
    TooMany,
}

/// The states in which a question can be asked and answered.
fn undecided() -> String {
    format!("state IN ({}, {})", State::AdminSend.number(), State::AdminVerify.number())
}

const QUESTION: Selection = Selection {
    table: "questions",
    columns: &[Column::Id, Column::Question, Column::AskedAt, Column::AskedBy, Column::Answer, Column::AnsweredAt],
};

fn read(row: NamedRow) -> Result<Question, Error> {
    Ok(Question {
        id: row.integer(Column::Id)?,
        question: row.text(Column::Question)?,
        asked_at: row.readable_integer(Column::AskedAt).unwrap_or(0),
        asked_by: row.optional_text(Column::AskedBy),
        answer: row.optional_text(Column::Answer),
        answered_at: row.readable_integer(Column::AnsweredAt),
    })
}

impl Store {
    /// All questions for a registration, the oldest first.
    pub fn questions(&mut self, registration: i64) -> Result<Vec<Question>, Error> {
        self.select(&QUESTION, "WHERE registration_id = ? ORDER BY id LIMIT ?", &[registration.into(), MOST_QUESTIONS.into()], read)
    }

    /// Asks the applicant of an undecided request. The mail is owed from then on.
    pub fn ask(&mut self, registration: i64, question: &str, by: &Decider, now: i64) -> Result<Asked, Error> {
        self.transaction(|store| {
            if !store.hold_undecided(registration)? {
                return Ok(Asked::NotUndecided);
            }
            let count = "SELECT COUNT(*), MAX(id) FROM questions WHERE registration_id = ?";
            let counted = |row: Row| Ok((row.integer()?, row.integer_at(1)?));
            if store.first(count, &[registration.into()], counted)?.is_some_and(|(count, _)| count >= MOST_QUESTIONS) {
                return Ok(Asked::TooMany);
            }
            let sql = "INSERT INTO questions (registration_id, question, asked_at, asked_by) VALUES (?, ?, ?, ?)";
            store.execute(sql, &[registration.into(), question.into(), now.into(), by.mxid().into()])?;
            let newest = store.first(count, &[registration.into()], counted)?.and_then(|(_, newest)| newest);
            let Some(id) = newest else { return Err(Error::Unavailable("a question is not there although it was just written".into())) };
            store.owe_showing(registration, now)?;
            store.owe_about_question(registration, SideAction::SendQuestion, id, now)?;
            store.note_decided(registration, Outcome::Asked, by, Some(question), now)?;
            fault::point("asking");
            Ok(Asked::Yes(id))
        })
    }

    /// Holds an undecided request until the end of the transaction: nobody else decides it or asks meanwhile. `false`: it is decided,
    /// or not there.
    fn hold_undecided(&mut self, registration: i64) -> Result<bool, Error> {
        let sql = format!("UPDATE registrations SET state = state WHERE id = ? AND {}", undecided());
        Ok(self.execute(&sql, &[registration.into()])? == 1)
    }

    fn owe_about_question(&mut self, registration: i64, action: SideAction, question: i64, now: i64) -> Result<(), Error> {
        let owe = "INSERT INTO owed_actions (registration_id, kind, owed_since, due_at, question_id) VALUES (?, ?, ?, ?, ?)";
        self.execute(owe, &[registration.into(), action.number().into(), now.into(), now.into(), question.into()]).map(|_| ())
    }

    /// The applicant answers a question of an undecided request; the room is to hear of it. `false`: it has an answer already, or the
    /// request is decided.
    pub fn answer(&mut self, registration: i64, question: i64, answer: &str, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.hold_undecided(registration)? {
                return Ok(false);
            }
            let sql = "UPDATE questions SET answer = ?, answered_at = ? WHERE id = ? AND registration_id = ? AND answer IS NULL";
            fault::point("answering");
            let is_first = store.execute(sql, &[answer.into(), now.into(), question.into(), registration.into()])? == 1;
            if is_first {
                store.owe_showing(registration, now)?;
                store.owe_about_question(registration, SideAction::PostAnswer, question, now)?;
            }
            fault::point("answered");
            Ok(is_first)
        })
    }

    /// The question that a row of `owed_actions` mails; `None` if it has an answer already, or is not there.
    pub(crate) fn question_to_mail(&mut self, owed_action: i64) -> Result<Option<Question>, Error> {
        Ok(self.question_of(owed_action)?.filter(|question| question.answer.is_none()))
    }

    /// The question whose answer a row of `owed_actions` posts to the room, and the answer; `None` if it is not there any more.
    pub(crate) fn answer_to_post(&mut self, owed_action: i64) -> Result<Option<(Question, String)>, Error> {
        let answered = |question: Question| question.answer.clone().map(|answer| (question, answer));
        Ok(self.question_of(owed_action)?.and_then(answered))
    }

    fn question_of(&mut self, owed_action: i64) -> Result<Option<Question>, Error> {
        self.select_first(&QUESTION, "WHERE id = (SELECT question_id FROM owed_actions WHERE id = ?)", &[owed_action.into()], read)
    }

    /// The usual seconds from the confirmation of an address to the decision: the median of the last [`DECISIONS`]; `None` if
    /// there are too few.
    pub fn usual_seconds_to_decision(&mut self) -> Result<Option<i64>, Error> {
        let sql = "SELECT decided_at - COALESCE(confirmed_at, requested_at) FROM registrations WHERE decided_at IS NOT NULL
                   ORDER BY decided_at DESC LIMIT ?";
        let mut seconds = self.query(sql, &[(DECISIONS as i64).into()])?.iter().filter_map(|row| row.integer().ok()).collect::<Vec<_>>();
        // A wrong clock may have decided before it asked.
        seconds.retain(|seconds| *seconds >= 0);
        seconds.sort_unstable();
        Ok(seconds.get(seconds.len() / 2).copied().filter(|_| seconds.len() >= FEWEST_DECISIONS))
    }
}
