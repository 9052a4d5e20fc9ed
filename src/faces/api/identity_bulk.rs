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
use std::collections::HashMap;

/// Each entry is parsed later, so that an invalid one can be left out.
#[derive(Debug, Deserialize)]
struct LookupBulkRequest<'a> {
    #[serde(borrow)]
    lookup: Vec<&'a RawValue>,
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
}

/// Answers 200 with the hits, in the order of the request.
pub fn look_up(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let asked: Option<LookupBulkRequest> = body(request);
    let entries: Vec<Entry> = asked.map(|asked| asked.lookup).unwrap_or_default().into_iter().filter_map(entry).collect();
    let localparts = localparts(site, &entries)?;
    let hits = entries.iter().filter_map(|entry| {
        let localpart = localparts.get(entry.folded.as_str())?;
        Some(Mapping { medium: &entry.asked.medium, address: &entry.asked.address, id: UserId::localpart(localpart) })
    });
    Ok(Response::json(200, &LookupBulkResponse { lookup: hits.collect() }))
}

fn entry(asked: &RawValue) -> Option<Entry<'_>> {
    let asked: Lookup = serde_json::from_str(asked.get()).ok()?;
    let folded = identity_single::folded(&asked.medium, &asked.address)?;
    Some(Entry { asked, folded })
}

fn localparts(site: &Site, entries: &[Entry<'_>]) -> Result<HashMap<String, String>, Error> {
    let mut folded: Vec<&str> = entries.iter().map(|entry| entry.folded.as_str()).collect();
    folded.sort_unstable();
    folded.dedup();
    if folded.is_empty() {
        return Ok(HashMap::new());
    }
    let mut localparts = HashMap::new();
    for (address, localpart) in site.store(Access::Read)?.localparts_of_addresses(&folded)? {
        localparts.entry(address).or_insert(localpart); // the oldest account comes first
    }
    Ok(localparts)
}
