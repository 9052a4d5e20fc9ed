//! The homeserver: accounts, the bot, the room, the application service.

use super::machine::{CLOCKS_DIFFER, CLOCKS_DIFFER_MUCH};
use super::{Finding, ok, warning, wrong};
use crate::domain::config::OperationMode;
use crate::faces::cron;
use crate::flow::accounts::{self, Weight};
use crate::flow::looking;
use crate::outside::matrix::room_report::{Person, RoomReport};
use crate::outside::matrix::versions::{self, About};
use crate::outside::matrix::{Error, Homeserver, bot, sessions};
use crate::outside::site::Site;

/// Everything that needs the homeserver.
pub fn all(site: &Site) -> Vec<Finding> {
    match versions::about(&Homeserver::new(&site.config)) {
        Err(cause) => vec![
            wrong("homeserver", cause.to_string()),
            warning("homeserver", "accounts, bot, room and application service were not looked at, because they need the homeserver"),
        ],
        Ok(about) => [homeserver(site, &about), accounts(site), bot_and_room(site), service(site)].concat(),
    }
}

/// That the homeserver answers, and what its clock says.
fn homeserver(site: &Site, about: &About) -> Vec<Finding> {
    let mut findings = vec![ok("homeserver", format!("{} answers, specification {}", site.config.homeserver_url.join(""), about.newest))];
    let apart = about.clock.map_or(0, |clock| (clock - site.now()).abs());
    if apart > CLOCKS_DIFFER {
        let sentence =
            format!("the clock of the homeserver and the clock of this machine are {apart} s apart: let both follow a time server");
        findings.push(if apart > CLOCKS_DIFFER_MUCH { wrong("clock", sentence) } else { warning("clock", sentence) });
    }
    findings
}

/// Whether accounts could be made; makes none.
fn accounts(site: &Site) -> Vec<Finding> {
    accounts::check(site).into_iter().map(of_mode).collect()
}

/// What the mode's own check found.
fn of_mode(found: accounts::Finding) -> Finding {
    match found.weight {
        Weight::Fine => ok("accounts", found.sentence),
        Weight::Advice | Weight::Warning => warning("accounts", found.sentence),
        Weight::Fault => wrong("accounts", found.sentence),
    }
}

/// Whether the bot is logged in, and the room is fit for decisions.
fn bot_and_room(site: &Site) -> Vec<Finding> {
    let homeserver = Homeserver::new(&site.config);
    let owner = match bot::with_token(site, |token| sessions::whoami(&homeserver, token)) {
        Ok(Ok(owner)) => owner,
        Ok(Err(refused)) => return vec![wrong("bot", format!("{} {}: {}", refused.status, refused.errcode, refused.error))],
        Err(Error::UnknownToken { .. }) => return vec![wrong("bot", "the homeserver does not know access_token of [room]")],
        Err(cause) => return vec![wrong("bot", cause.to_string())],
    };
    let mut findings = vec![ok("bot", format!("{} may act", owner.user_id))];
    // With MAS the check of accounts has said so, and the token of an application service is used with a device.
    if owner.device_id.is_none() && site.config.operation_mode != OperationMode::Mas && !matches!(site.state.service(), Ok(Some(_))) {
        findings.push(without_device());
    }
    if !homeserver.is_of_this_server(&owner.user_id) {
        findings.push(wrong(
            "server_name",
            format!("the homeserver is that of {}, and server_name in config.toml is {}", owner.user_id, site.config.server_name),
        ));
    }
    findings.extend(match bot::look_at_room(site) {
        Ok(report) => of_room(site, &report),
        Err(cause) => vec![wrong("room", format!("{cause} (id in [room])"))],
    });
    findings
}

/// A token that an administrator made. Synapse remembers the transaction ids of such a token for half an hour and until it restarts
/// (observed with Synapse 1.163).
fn without_device() -> Finding {
    warning(
        "bot",
        "access_token in [room] has no device, so that a message whose answer was lost may be posted twice: give it the token of a login, or take it out to let the bot log in by itself",
    )
}

fn of_room(site: &Site, report: &RoomReport) -> Vec<Finding> {
    let id = &report.room_id;
    let mut findings = Vec::new();
    let homeserver = Homeserver::new(&site.config);
    let may_decide = |person: &&Person| looking::lets_decide(&site.config.room, &homeserver, &person.user_id, person.power);
    let (people, deciders) = (report.people.len(), report.people.iter().filter(may_decide).count());
    if !report.may_send {
        findings.push(wrong("room", format!("the bot may not send messages in {id}: give it the power level for that")));
    }
    if people == 0 {
        findings.push(wrong("room", format!("nobody but the bot is in {id}: invite those who decide")));
    }
    if people > 0 && deciders == 0 {
        findings.push(wrong(
            "room",
            format!("none of the {people} people in {id} may decide: look at decide_from_power and decide_only_own_server in [room]"),
        ));
    }
    if report.is_public {
        findings.push(wrong("room", format!("anybody may join {id}, and whoever is in it decides: make it a private room")));
    }
    if report.history_visibility == "world_readable" {
        findings.push(wrong("room", format!("anybody may read {id} without being in it: change its history visibility to its members")));
    }
    if report.is_encrypted && site.config.room.words {
        findings.push(warning("room", format!("{id} is encrypted: reactions and links decide, words in messages cannot be read")));
    }
    if *id != site.config.room.id.0 && !site.config.room.id.is_alias() {
        findings.push(warning("room", format!("the room was replaced: set id = {id:?} in [room]")));
    }
    if findings.is_empty() {
        findings.push(ok("room", format!("{id}, with {deciders} who may decide")));
    }
    findings
}

/// Whether the homeserver reaches us as an application service, if it is to.
fn service(site: &Site) -> Vec<Finding> {
    match (site.state.service(), cron::service_trouble(site)) {
        (Ok(None), _) => vec![ok("application service", "none; reactions and words count at the next run of cron (docs/room.md)")],
        (_, Ok(None)) => vec![ok("application service", "the homeserver reaches us")],
        (_, Ok(Some(trouble))) => vec![wrong("application service", trouble)],
        (Err(cause), _) => vec![wrong("application service", cause.to_string())],
        (_, Err(error)) => vec![wrong("application service", error.cause)],
    }
}
