//! `internal/directory_search`: finds users by name or mail address, for mxisd and ma1sd.

use super::{body, display_name};
use crate::domain::address;
use crate::domain::config::SearchByAddress;
use crate::domain::directory::{TERM_MAX_CHARACTERS, TermKind, fold};
use crate::domain::error::Error;
use crate::outside::cgi::{Request, Response};
use crate::outside::site::Site;
use crate::outside::store::{Access, Found};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The largest number of users in an answer: the default of the Matrix specification, because callers do not pass on the
/// client's limit.
const LIMIT: usize = 10;

/// Bytes of the longest term that is compared. No name or address has as many, in any spelling.
const LONGEST_TERM: usize = 4096;

#[derive(Debug, Deserialize)]
struct UserDirectorySearchRequest {
    #[serde(default)]
    by: String,
    #[serde(default)]
    search_term: String,
}

/// The member is called `results`, and each `user_id` is a bare localpart.
#[derive(Debug, Serialize)]
struct UserDirectorySearchResult {
    limited: bool,
    results: Vec<User>,
}

#[derive(Debug, Serialize)]
struct User {
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
}

/// Answers 200; an empty term, and one that is longer than any name, finds nobody.
pub fn search(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let asked: Option<UserDirectorySearchRequest> = body(request);
    let found = match asked.filter(|asked| asked.search_term.len() <= LONGEST_TERM) {
        Some(asked) => match asked.by.as_str() {
            "name" => by_terms(site, &TermKind::NAMES, &searched(site, &asked.search_term))?,
            "threepid" => by_address(site, &asked.search_term)?,
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    let limited = found.len() > LIMIT;
    let results = found
        .into_iter()
        .take(LIMIT)
        .map(|user| User { display_name: display_name(&user.first_name, &user.last_name), user_id: user.localpart });
    Ok(Response::json(200, &UserDirectorySearchResult { limited, results: results.collect() }))
}

/// Searches by the whole address in any spelling; by its beginning only if the operator allows it.
fn by_address(site: &Site, term: &str) -> Result<Vec<Found>, Error> {
    match site.config.internal.search_by_address {
        SearchByAddress::Off => Ok(Vec::new()),
        SearchByAddress::Prefix => by_terms(site, &[TermKind::Address], &address::folded_beginning(term)),
        SearchByAddress::Exact => match address::folded(term) {
            folded if folded.is_empty() => Ok(Vec::new()),
            folded => Ok(site.store(Access::Read)?.users_of_address(&folded, (LIMIT + 1) as i64)?),
        },
    }
}

/// The localpart, if the term is a Matrix id of this server; the caller has removed one `@`.
fn searched(site: &Site, term: &str) -> String {
    let term = term.trim();
    let localpart = term.strip_suffix(site.config.server_name.0.as_str()).and_then(|rest| rest.strip_suffix(':'));
    fold(localpart.unwrap_or(term).trim_start_matches('@'))
}

/// Best matches first: by localpart, by the start of the name, by a later word; each in the order of terms and the age of
/// accounts. One more than `LIMIT` shows that there are more.
fn by_terms(site: &Site, kinds: &[TermKind], folded: &str) -> Result<Vec<Found>, Error> {
    let mut found: Vec<Found> = Vec::new();
    if folded.is_empty() || folded.chars().count() > TERM_MAX_CHARACTERS {
        return Ok(found);
    }
    let mut known = BTreeSet::new();
    let mut store = site.store(Access::Read)?;
    for kind in kinds {
        // This many rows contain `LIMIT + 1` users, if there are that many.
        let rows = store.search_directory(*kind, folded, ((LIMIT + 1) * kind.most_of_an_account()) as i64)?;
        found.extend(rows.into_iter().filter(|user| known.insert(user.localpart.clone())));
        if found.len() > LIMIT {
            break;
        }
    }
    Ok(found)
}
