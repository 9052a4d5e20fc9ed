//! Lets the operator ask an applicant: `cron --ask ID QUESTION`. The mail server may be down; the mail is then sent later.

use crate::domain::decision::Decider;
use crate::domain::error::Error;
use crate::domain::names;
use crate::flow::asking;
use crate::flow::queue;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{Access, Asked, MOST_QUESTIONS};

/// Asks the applicant of request `id`. Returns the result for the operator.
pub fn ask(site: &Site, id: i64, question: &str) -> Result<String, Error> {
    let question = names::note(question).ok_or_else(|| Error::bad_request("the question is too long"))?;
    if question.is_empty() {
        return Err(Error::bad_request("the question is empty"));
    }
    let mut store = site.store(Access::Write)?;
    let asked = asking::ask(site, &mut store, id, &question, &Decider::Operator(ownership::shell_user()))?;
    queue::show_in_room(site);
    match asked {
        Asked::Yes(_) => Ok(format!("request #{id}: the question is mailed, and the answer is shown on the page where the room decides\n")),
        Asked::NotUndecided => Err(Error::bad_request(format!(
            "request #{id} does not wait for a decision, so there is nothing to ask; cron --waiting lists those that do"
        ))),
        Asked::TooMany => {
            Err(Error::bad_request(format!("request #{id} has {MOST_QUESTIONS} questions already, and no more are possible")))
        }
    }
}
