//! `internal/identity_bulk`: finds the owners of many mail addresses, for mxisd and ma1sd.
//!
//! An address book of tens of thousands of entries arrives in one request and is looked up in a few statements. An invalid
//! entry does not affect the others.

use super::identity_single::{self, Mapping};
use super::{UserId, body};
use crate::domain::error::Error;
use crate::outside::cgi::{Request, Response};
use crate::outside::site::Site;
use crate::outside::store::Access;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Debug, Deserialize)]
struct LookupBulkRequest<T> {
    lookup: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct Lookup<'a> {
    #[serde(borrow)]
    medium: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct LookupBulkResponse<'a> {
    lookup: Vec<Mapping<'a>>,
}

/// A valid entry.
struct Entry<'a> {
    asked: Lookup<'a>,
    folded: String,
    /// The place of its account among those found.
    hit: Option<usize>,
}

/// Answers 200 with the hits, in the order of the request.
pub fn look_up(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let mut entries: Vec<Entry> = asked(request).into_iter().filter_map(entry).collect();
    let found = find(site, &mut entries)?;
    let hits = entries.iter().filter_map(|entry| {
        let (_, localpart) = found.get(entry.hit?)?;
        Some(Mapping { medium: &entry.asked.medium, address: &entry.asked.address, id: UserId::localpart(localpart) })
    });
    Ok(Response::json(200, &LookupBulkResponse { lookup: hits.collect() }))
}

/// The entries of the request. If some cannot be read, each is parsed by itself and these are left out.
fn asked(request: &Request) -> Vec<Lookup<'_>> {
    if let Some(LookupBulkRequest { lookup }) = body(request) {
        return lookup;
    }
    let each: Option<LookupBulkRequest<&RawValue>> = body(request);
    let each = each.map(|asked| asked.lookup).unwrap_or_default();
    each.into_iter().filter_map(|asked| serde_json::from_str(asked.get()).ok()).collect()
}

fn entry(asked: Lookup<'_>) -> Option<Entry<'_>> {
    let folded = identity_single::folded(&asked.medium, &asked.address)?;
    Some(Entry { asked, folded, hit: None })
}

/// Looks the entries up in the order of their addresses, which is that of the index and of the accounts found.
fn find(site: &Site, entries: &mut [Entry<'_>]) -> Result<Vec<(String, String)>, Error> {
    let mut entries: Vec<&mut Entry> = entries.iter_mut().collect();
    entries.sort_unstable_by(|one, other| one.folded.cmp(&other.folded));
    let mut asked: Vec<&str> = entries.iter().map(|entry| entry.folded.as_str()).collect();
    asked.dedup();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let found = site.store(Access::Read)?.localparts_of_addresses(&asked)?;
    let mut addresses = found.iter().map(|(address, _)| address).enumerate().peekable();
    for entry in entries {
        while addresses.next_if(|(_, address)| **address < entry.folded).is_some() {}
        entry.hit = addresses.peek().filter(|(_, address)| **address == entry.folded).map(|(place, _)| *place);
    }
    Ok(found)
}
