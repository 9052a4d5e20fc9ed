//! `internal/identity_bulk`: finds the owners of many mail addresses, for mxisd and ma1sd.
//!
//! An address book of tens of thousands of entries arrives in one request and is looked up in a few statements. An invalid
//! entry does not affect the others.

use super::{body, identity_single};
use crate::domain::error::Error;
use crate::outside::cgi::{Request, Response};
use crate::outside::site::Site;
use crate::outside::store::Access;
use serde::Deserialize;
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
        Some((&entry.asked, localpart.as_str()))
    });
    Ok(Response::new(200, "application/json", written(hits)))
}

/// The hits as JSON: each with medium and address exactly as in the request, and the user. Only what differs goes through serde, which
/// would look through each of the names as well, 50,000 in the answer to a large address book.
fn written<'a>(hits: impl Iterator<Item = (&'a Lookup<'a>, &'a str)>) -> Vec<u8> {
    let mut answer = br#"{"lookup":["#.to_vec();
    for (number, (Lookup { medium, address }, localpart)) in hits.enumerate() {
        let object = if number == 0 { r#"{"medium":"# } else { r#",{"medium":"# };
        let texts = [(object, &**medium), (r#","address":"#, address), (r#","id":{"type":"localpart","value":"#, localpart)];
        for (name, text) in texts {
            answer.extend_from_slice(name.as_bytes());
            // Cannot fail: the answer is in memory.
            let _ = serde_json::to_writer(&mut answer, text);
        }
        answer.extend_from_slice(b"}}");
    }
    answer.extend_from_slice(b"]}");
    answer
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
