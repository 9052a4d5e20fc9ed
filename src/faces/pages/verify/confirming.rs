//! Confirming the address, which reserves the username. Whoever comes second chooses another one here and keeps everything else.
//!
//! With `credentials = "confirm"` the password is asked for here and not on the form. Only the owner of the mail may
//! choose it; otherwise a stranger could request an account for somebody else's address and know its password.

use super::super::usernames::{self, Kept};
use super::super::{Faults, Field, again_context, chosen_password, context, merge};
use super::{Sent, Visit};
use crate::domain::config::Credentials;
use crate::domain::error::Error;
use crate::domain::names::{self, Localpart};
use crate::domain::seconds::HOUR;
use crate::domain::text_key::{Key, form::error as text};
use crate::domain::token::Secret;
use crate::flow::limits;
use crate::flow::steps;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::matrix::password_policy::PasswordPolicy;
use crate::outside::page::PageName;
use crate::outside::store::{Access, Confirmed, Registration, Store};
use serde_json::json;

/// The button, and a field for another username if somebody else has the one that was asked for.
pub(super) fn show(visit: &Visit, registration: &Registration) -> Result<Response, Error> {
    let is_taken = visit.site.store(Access::Read)?.username_is_taken_by_others(registration.id, &registration.username)?;
    button(visit, 200, registration, is_taken.then_some(""), &chosen_password::own_rules(visit.site), &Faults::new())
}

/// The same in another language, with the name that was typed.
pub(super) fn show_again(visit: &Visit, registration: &Registration, form: &Sent) -> Result<Response, Error> {
    let is_taken = visit.site.store(Access::Read)?.username_is_taken_by_others(registration.id, &registration.username)?;
    let asks_for_name = is_taken || form.asks_for_name == "1";
    let rules = chosen_password::own_rules(visit.site);
    button(visit, 200, registration, asks_for_name.then_some(&form.username), &rules, &Faults::new())
}

/// Confirms the address and tells the room.
pub(super) fn confirm(
    visit: &Visit,
    request: &Request,
    secret: &Secret,
    registration: &Registration,
    form: &Sent,
) -> Result<Response, Error> {
    let site = visit.site;
    let mut store = site.store(Access::Write)?;
    let network = limits::network(site, request, secret);
    let (other_name, name_fault) = match wanted_name(visit, &mut store, &network, registration, &form.username)? {
        Ok(other_name) => (other_name, None),
        Err(fault) => (None, Some(fault)),
    };
    let username = other_name.as_ref().map_or(registration.username.as_str(), Localpart::as_str);
    let rules = if asks_for_password(visit) { chosen_password::rules(site) } else { chosen_password::own_rules(site) };
    let mut faults = password_faults(visit, &rules, username, registration, form);
    faults.extend(name_fault.map(|fault| (Field::Username, fault)));
    let asks_for_name = name_fault.is_some() || other_name.is_some();
    if !faults.is_empty() {
        return button(visit, 422, registration, asks_for_name.then_some(&form.username), &rules, &faults);
    }
    let chosen = asks_for_password(visit).then(|| chosen_password::kept(site, registration, &form.password));
    let password = chosen.transpose()?;
    match store.confirm(registration.id, other_name.as_ref().map(Localpart::as_str), password.as_deref(), site.now())? {
        Confirmed::Yes => {}
        Confirmed::NotAwaited => {
            drop(store);
            return visit.show_anew(registration.id);
        }
        Confirmed::NameTaken => {
            let taken = Faults::from([(Field::Username, text::USERNAME_UNAVAILABLE)]);
            return button(visit, 422, registration, Some(&form.username), &rules, &taken);
        }
    }
    log::info("address_confirmed", Some(registration.id), if other_name.is_some() { "with another username" } else { "" });
    steps::carry_on_for_visitor(site, &mut store, registration.id);
    drop(store);
    // The ballot under the message in the room.
    Ok(visit.show_anew(registration.id)?.with_work_left())
}

/// The other username that was typed, if it can be had; `None` for the one that was asked for, if that can.
fn wanted_name(
    visit: &Visit,
    store: &mut Store,
    network: &str,
    registration: &Registration,
    typed: &str,
) -> Result<Result<Option<Localpart>, Key>, Error> {
    let config = &visit.site.config;
    let own = [registration.username.as_str(), &names::mxid(&registration.username, &config.server_name), ""];
    let is_own = own.contains(&typed.trim());
    let chosen = usernames::choose(config, if is_own { &registration.username } else { typed });
    let wanted = chosen.as_ref().map_or(registration.username.as_str(), Localpart::as_str);
    if (is_own || chosen.is_ok()) && store.username_is_taken_by_others(registration.id, wanted)? {
        return Ok(Err(text::USERNAME_UNAVAILABLE));
    }
    let name = match chosen {
        Ok(name) => name,
        // The rules for names may have changed since; the room sees the name.
        Err(_) if is_own => return Ok(Ok(None)),
        Err(fault) => return Ok(Err(fault)),
    };
    Ok(match usernames::is_kept_from_everybody(visit.site, store, network, &name)? {
        Kept::Yes => Err(text::USERNAME_UNAVAILABLE),
        // The form has asked about this one.
        Kept::NotAsked { .. } if is_own => Ok(None),
        Kept::NotAsked { .. } => Err(text::USERNAMES_USED_UP),
        Kept::No => Ok((!is_own).then_some(name)),
    })
}

/// The faults of the password, if one is asked for; also if the page was opened before that was configured.
fn password_faults(visit: &Visit, rules: &PasswordPolicy, username: &str, registration: &Registration, form: &Sent) -> Faults {
    if !asks_for_password(visit) {
        return Faults::new();
    }
    chosen_password::faults(rules, &form.password, &form.password_again, username, &registration.email)
}

fn asks_for_password(visit: &Visit) -> bool {
    visit.site.config.credentials() == Credentials::Confirm
}

/// The page with the button. `other_name`: what was typed as another username, if one is asked for.
fn button(
    visit: &Visit,
    status: u16,
    registration: &Registration,
    other_name: Option<&str>,
    rules: &PasswordPolicy,
    errors: &Faults,
) -> Result<Response, Error> {
    let config = &visit.site.config;
    let mut own = visit.facts(registration);
    merge(&mut own, visit.form_values()?);
    merge(
        &mut own,
        json!({
            "expires": registration.state_since + config.times.confirm_within_hours.0 as i64 * HOUR,
            "asks_for_name": other_name.is_some(),
            "typed_name": other_name.unwrap_or(""),
            "username_min_length": config.form.username_min_length.0,
            "username_max_length": config.form.username_max_length.0,
            "wants_password": asks_for_password(visit),
            "password_min_length": rules.minimum_length,
            "password_needs": chosen_password::needs(rules),
            "errors": errors,
        }),
    );
    let whole = match other_name {
        Some(_) => again_context(visit.language, Some(visit.link_token), "confirm", own),
        None => context(visit.language, Some(visit.link_token), own),
    };
    visit.site.page(visit.language, status, PageName::Verify, &whole)
}
