//! Mail addresses of accounts. An address that is added counts as confirmed.

use super::meaning::Meaning;
use super::{Call, Error, List, Session, segment};
use serde::{Deserialize, Serialize};

/// The outcome of [`bind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The address belongs to the account, now or since before.
    ToAccount,
    /// The address belongs to another account and stays there.
    ToAnother,
    /// MAS does not accept it; the text is its sentence.
    Refused(String),
}

#[derive(Deserialize)]
struct Attributes {
    user_id: String,
    email: String,
}

#[derive(Serialize)]
struct NewAddress<'a> {
    user_id: &'a str,
    email: &'a str,
}

/// Adds an address to an account. Safe to repeat.
pub fn bind(session: &Session, id: &str, address: &str) -> Result<Bound, Error> {
    let call = Call::post("user-emails".into(), "user-emails", &NewAddress { user_id: id, email: address })?;
    match session.ask::<serde_json::Value>(&call)? {
        Ok(_) => Ok(Bound::ToAccount),
        Err(refusal) => match refusal.meaning() {
            // Also if this account has it.
            Meaning::AddressTaken if owners(session, address)?.iter().all(|owner| owner == id) => Ok(Bound::ToAccount),
            Meaning::AddressTaken => Ok(Bound::ToAnother),
            // MAS repeats the address in its sentence.
            Meaning::AddressNotValid => Ok(Bound::Refused("MAS does not accept the confirmed address, and the account has none".into())),
            _ => Err(refusal.unexpected()),
        },
    }
}

/// The ids of the accounts with this address: one, unless somebody used MAS's command line.
fn owners(session: &Session, address: &str) -> Result<Vec<String>, Error> {
    let list = list(session, &format!("filter[email]={}", segment(address)))?;
    Ok(list.data.into_iter().map(|email| email.attributes.user_id).collect())
}

/// The addresses of an account.
pub fn of_user(session: &Session, id: &str) -> Result<Vec<String>, Error> {
    let list = list(session, &format!("filter[user]={}", segment(id)))?;
    if list.meta.count != list.data.len() as u64 {
        return Err(Error::Unexpected("MAS does not list all addresses of an account".into()));
    }
    Ok(list.data.into_iter().map(|email| email.attributes.email).collect())
}

fn list(session: &Session, filter: &str) -> Result<List<Attributes>, Error> {
    let call = Call::get(format!("user-emails?{filter}"), "user-emails");
    Ok(session.ask::<List<Attributes>>(&call)?.map_err(super::Refusal::unexpected)?.body)
}
