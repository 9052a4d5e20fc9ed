//! `export` and `forget`: what a person may ask for (GDPR, articles 15 and 17).

use super::answer::{Answer, Refusal};
use super::listing;
use crate::domain::address::{self, Address};
use crate::domain::characters::visible_json;
use crate::domain::registration::{Event, State};
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{Access, Account, Leaves, Store};
use serde_json::{Value, json};

/// Everything that is stored about whoever has this address.
pub fn export(site: &Site, email: &str) -> Result<Answer, Refusal> {
    let folded = folded(email)?;
    let mut store = site.store(Access::Read)?;
    let mut requests = Vec::new();
    for id in store.all_requests_of_address(&folded)? {
        if let Some(registration) = store.registration(id)? {
            requests.push(listing::whole(site, &mut store, registration)?);
        }
    }
    let accounts: Vec<_> = store
        .accounts_of_address(&folded)?
        .into_iter()
        .map(|account| {
            json!({ "username": account.localpart, "first_name": account.first_name, "last_name": account.last_name, "email": account.email,
                "created_at": account.created_at, "is_active": account.is_active })
        })
        .collect();
    let mut remembered = Vec::new();
    for person in hashes_of(site, &folded)? {
        remembered.extend(store.remembered_of(&person)?);
    }
    let all = json!({ "email": email, "requests": requests, "accounts": accounts, "outcomes_of_forgotten_requests": remembered });
    let text = serde_json::to_string_pretty(&all).map_err(|cause| Refusal::Failed(cause.to_string()))?;
    Ok(Answer { text: visible_json(&text) + "\n", json: all })
}

/// Deletes all requests with this address, what is remembered of earlier ones and, if wanted, the account in our own table. Requests that
/// wait are withdrawn first; one whose account is being made has to be ended or finished before.
pub fn forget(site: &Site, email: &str, with_account: bool) -> Result<Answer, Refusal> {
    let folded = folded(email)?;
    let mut store = site.store(Access::Write)?;
    let ids = store.all_requests_of_address(&folded)?;
    let accounts = store.accounts_of_address(&folded)?;
    let (unwanted, kept) = if with_account { (&accounts[..], 0) } else { (&[][..], accounts.len()) };
    let deleted = delete(site, &mut store, &ids, Some(&folded), unwanted)?;
    if deleted.is_nothing() {
        return Err(Refusal::No(match kept {
            0 => "nothing is stored about that address".into(),
            _ => "only an account is stored about that address; --account deletes it".into(),
        }));
    }
    let left = if kept > 0 { "; the account is kept, --account deletes it" } else { "" };
    let sentence = format!("{}{left}", deleted.sentence());
    Ok(Answer { json: deleted.json(&sentence), text: sentence + "\n" })
}

/// What was deleted.
#[derive(Debug, Default)]
pub struct Deleted {
    requests: u64,
    remembered: u64,
    accounts: u64,
    are_messages_redacted: bool,
}

impl Deleted {
    fn is_nothing(&self) -> bool {
        self.requests + self.remembered + self.accounts == 0
    }

    pub fn sentence(&self) -> String {
        let Deleted { requests, remembered, accounts, .. } = self;
        let redacted = if self.are_messages_redacted { "; the next run of cron redacts the messages in the room" } else { "" };
        format!("{requests} requests, {remembered} remembered outcomes and {accounts} accounts are deleted{redacted}")
    }

    pub fn json(&self, said: &str) -> Value {
        json!({ "requests": self.requests, "remembered": self.remembered, "accounts": self.accounts, "said": said })
    }
}

/// Deletes these requests and accounts, and what is remembered of the person with the folded address `person`.
pub fn delete(site: &Site, store: &mut Store, ids: &[i64], person: Option<&str>, accounts: &[Account]) -> Result<Deleted, Refusal> {
    for id in ids {
        withdraw(site, store, *id)?;
    }
    let leaves = Leaves { outcome: false, redactions_at: site.config.room.redact_when_forgotten.then(|| site.now()) };
    let mut deleted = Deleted { are_messages_redacted: leaves.redactions_at.is_some(), ..Deleted::default() };
    for id in ids {
        deleted.requests += u64::from(store.forget_now(*id, leaves)?);
    }
    if let Some(folded) = person {
        for hash in hashes_of(site, folded)? {
            deleted.remembered += store.forget_person(&hash)?;
        }
    }
    deleted.accounts = store.delete_accounts(accounts)?;
    store.tidy()?;
    if !deleted.is_nothing() {
        let Deleted { requests, accounts, .. } = deleted;
        log::info("forgotten_on_demand", None, &format!("{requests} requests, {accounts} accounts, by={}", ownership::shell_user()));
    }
    Ok(deleted)
}

/// Under which a person is remembered; with a former key only as long as `secrets rotate` is not complete.
fn hashes_of(site: &Site, folded: &str) -> Result<Vec<String>, Refusal> {
    let secret = site.state.secret()?;
    let person = address::person(folded);
    Ok([secret.former(), Some(secret)].into_iter().flatten().map(|key| key.token("person", &person)).collect())
}

fn folded(email: &str) -> Result<String, Refusal> {
    Address::parse(email).map(|address| address.folded()).map_err(|_| Refusal::No(format!("{email:?} is no mail address")))
}

fn withdraw(site: &Site, store: &mut Store, id: i64) -> Result<(), Refusal> {
    let Some(state) = store.state(id)? else { return Ok(()) };
    let is_stuck = match state {
        State::DeclineSend => {
            !store.end(id, state, None, &crate::domain::decision::Decider::Operator(ownership::shell_user()), site.now())?
        }
        _ if state.is_final() => false,
        _ => state.after(Event::Withdrawn).is_none() || !store.withdraw(id, site.now())?,
    };
    match is_stuck {
        false => Ok(()),
        true => Err(Refusal::No(format!(
            "request #{id} waits for {}, and its account may exist: finish it with retry, or end it with end, and forget it then",
            state.awaits()
        ))),
    }
}
