//! Which request the operator means.

use super::answer::Refusal;
use crate::domain::address::Address;
use crate::domain::number::Number;
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};

/// The request with this number, username, Matrix ID or mail address. Of several, the one that is not over.
pub fn request(site: &Site, store: &mut Store, named: &str) -> Result<Registration, Refusal> {
    if let Some(number) = Number::parse(named.trim()) {
        return store.registration_by_number(number)?.ok_or_else(|| none(named));
    }
    let found = candidates(site, store, named.trim())?;
    let mut requests = Vec::new();
    for id in found {
        requests.extend(store.registration(id)?);
    }
    let open: Vec<usize> = (0..requests.len()).filter(|index| !requests[*index].state.is_final()).collect();
    match (&requests[..], &open[..]) {
        ([], _) => Err(none(named)),
        ([_], _) => Ok(requests.swap_remove(0)),
        (_, [only]) => Ok(requests.swap_remove(*only)),
        _ => {
            let numbers: Vec<String> = requests.iter().map(|request| request.number().to_string()).collect();
            Err(Refusal::No(format!("there are several requests {named:?}: name one of them by its number, {}", numbers.join(", "))))
        }
    }
}

fn none(named: &str) -> Refusal {
    Refusal::No(format!("there is no request {named:?}; matrix-register-bot list --all shows those that are kept"))
}

fn candidates(site: &Site, store: &mut Store, named: &str) -> Result<Vec<i64>, Refusal> {
    let of_server = format!(":{}", site.config.server_name);
    if let Some(localpart) = named.strip_prefix('@') {
        return Ok(store.requests_of_username(localpart.strip_suffix(&of_server).unwrap_or(localpart))?);
    }
    match Address::parse(named) {
        Ok(address) => Ok(store.requests_of_address(&address.folded())?),
        Err(_) => Ok(store.requests_of_username(&named.to_lowercase())?),
    }
}
