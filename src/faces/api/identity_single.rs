//! `internal/identity_single`: finds the owner of a mail address, for mxisd and ma1sd.

use super::{UserId, body};
use crate::domain::address::Address;
use crate::domain::error::Error;
use crate::outside::cgi::{Request, Response};
use crate::outside::site::Site;
use crate::outside::store::Access;
use serde::{Deserialize, Serialize};

/// The medium of mail addresses; others are not looked up.
pub(super) const EMAIL: &str = "email";

#[derive(Debug, Deserialize)]
struct LookupRequest {
    lookup: Lookup,
}

#[derive(Debug, Deserialize)]
struct Lookup {
    medium: String,
    address: String,
}

/// If nothing is found, the object has no member `lookup`; the callers reject null.
#[derive(Debug, Serialize)]
struct LookupSingleResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup: Option<Mapping<'a>>,
}

/// Medium and address exactly as in the request.
#[derive(Debug, Serialize)]
struct Mapping<'a> {
    medium: &'a str,
    address: &'a str,
    id: UserId<'a>,
}

/// Answers 200, whether or not there is a hit.
pub fn look_up(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let asked: Option<LookupRequest> = body(request);
    let Some(LookupRequest { lookup }) = asked else { return Ok(Response::json(200, &LookupSingleResponse { lookup: None })) };
    let localpart = match folded(&lookup.medium, &lookup.address) {
        Some(folded) => site.store(Access::Read)?.localpart_of_address(&folded)?,
        None => None,
    };
    let mapping = localpart.as_deref().map(|localpart| Mapping {
        medium: &lookup.medium,
        address: &lookup.address,
        id: UserId::localpart(localpart),
    });
    Ok(Response::json(200, &LookupSingleResponse { lookup: mapping }))
}

/// The form in which addresses are compared; `None` for another medium or an invalid address.
fn folded(medium: &str, address: &str) -> Option<String> {
    if medium != EMAIL {
        return None;
    }
    Address::parse(address).ok().map(|address| address.folded())
}
