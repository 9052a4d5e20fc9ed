//! The checks of `operation_mode = "registration_token"`. None of them makes an account, uses the token up, or costs a login.

use super::Finding;
use super::Weight::{Advice, Fault, Fine, Warning};
use crate::domain::password;
use crate::domain::token::Secret;
use crate::outside::matrix::password_policy::password_policy;
use crate::outside::matrix::register;
use crate::outside::matrix::token_registration::{Means, NoFlow, flows, is_open, is_valid, usable_flow};
use crate::outside::matrix::{Error, Homeserver, bot, delegation, room, versions};
use crate::outside::site::Site;

/// Every stage but these needs something that a stranger may have: a mail address, an answer to a riddle, a telephone.
const TOKEN_STAGE: &str = "m.login.registration_token";

pub(super) const NO_PASSWORDS: &str = "the homeserver takes no logins by password (GET /login does not list m.login.password), so nobody could enter the account: \
     see password_config in homeserver.yaml; with an authentication service (MAS) this operation_mode is not the way";

pub(super) fn check(site: &Site) -> Vec<Finding> {
    let homeserver = Homeserver::new(&site.config);
    let url = homeserver.url();
    if let Err(cause) = versions::about(&homeserver) {
        return vec![Finding::new(Fault, "homeserver_away", cause.to_string())];
    }
    if matches!(delegation::authentication_service(&homeserver), Ok(Some(_))) {
        let sentence =
            format!("the homeserver at {url} leaves accounts to an authentication service (MAS), which registers nobody with a token");
        return vec![Finding::new(Fault, "left_to_a_service", sentence)];
    }
    let mut found = vec![Finding::new(Fine, "homeserver", format!("{url} answers"))];
    found.extend(shared_secret(&homeserver));
    found.extend(registration(site, &homeserver));
    found.extend(token(site, &homeserver));
    found.push(passwords(&homeserver));
    found.extend(password_rules(&homeserver));
    found.extend(bot_is_administrator(site, &homeserver));
    found
}

fn shared_secret(homeserver: &Homeserver) -> Option<Finding> {
    register::nonce(homeserver).is_ok().then(|| {
        let sentence = format!(
            "the homeserver at {} offers registration by a shared secret, with which registration can stay closed to everybody else: \
             operation_mode = \"synapse\" with registration_shared_secret is the better way there",
            homeserver.url()
        );
        Finding::new(Advice, "shared_secret_offered", sentence)
    })
}

fn registration(site: &Site, homeserver: &Homeserver) -> Vec<Finding> {
    let offered = match flows(homeserver) {
        Ok(offered) => offered,
        Err(cause) => return vec![Finding::new(if is_passing(&cause) { Advice } else { Fault }, "registration_closed", cause.to_string())],
    };
    let means = Means { token: "", accepts_terms: site.config.registration_token.accept_terms };
    let mut found = Vec::new();
    match usable_flow(&offered, &means) {
        Ok(_) => found.push(Finding::new(Fine, "registration", format!("{} registers with the token", homeserver.url()))),
        Err(why @ NoFlow::OpenToEverybody) => return vec![Finding::new(Fault, "registration_open", why.sentence(homeserver))],
        Err(why) => found.push(Finding::new(Fault, "registration_needs_a_person", why.sentence(homeserver))),
    }
    let beside: Vec<String> =
        offered.iter().filter(|flow| flow.iter().all(|stage| stage != TOKEN_STAGE)).map(|flow| flow.join(" + ")).collect();
    if offered.iter().any(|flow| is_open(flow)) || !beside.is_empty() {
        let sentence = format!(
            "strangers can register at {} without a moderator's yes, by {}: switch these off (enable_registration_token_3pid_bypass and enable_registration_without_verification in \
             homeserver.yaml; captcha and mail registration elsewhere)",
            homeserver.url(),
            crate::domain::characters::one_line(&beside.join(", or ")).chars().take(300).collect::<String>()
        );
        found.push(Finding::new(Warning, "registration_beside_the_token", sentence));
    }
    found
}

fn token(site: &Site, homeserver: &Homeserver) -> Option<Finding> {
    let token = match site.config.registration_token() {
        Ok(Some(token)) => token,
        Ok(None) => return None,
        Err(cause) => return Some(Finding::new(Fault, "token_unreadable", cause.to_string())),
    };
    let untold = |why: &str| {
        Some(Finding::new(
            Advice,
            "token_untold",
            format!("whether the token of [registration_token] is right shows with the first approval: {why}"),
        ))
    };
    if !homeserver.is_on_this_machine() {
        return untold(
            "it would be in the address of the question, which a web server on the way may log; with homeserver_url on loopback it is asked",
        );
    }
    match is_valid(homeserver, &token) {
        Ok(Some(true)) => Some(Finding::new(Fine, "token", "the homeserver knows the token")),
        Ok(Some(false)) => Some(Finding::new(
            Fault,
            "token_invalid",
            format!(
                "the homeserver at {} does not know the token of [registration_token], or it is used up or at its end: make an unlimited one",
                homeserver.url()
            ),
        )),
        Ok(None) => untold("this homeserver does not say (Conduit)"),
        Err(cause) => untold(&cause.to_string()),
    }
}

fn passwords(homeserver: &Homeserver) -> Finding {
    match delegation::takes_passwords(homeserver) {
        Ok(true) => Finding::new(Fine, "password_login", "people can log in with passwords"),
        Ok(false) => Finding::new(Fault, "no_password_login", NO_PASSWORDS),
        Err(cause) => Finding::new(Advice, "password_login_untold", cause.to_string()),
    }
}

fn password_rules(homeserver: &Homeserver) -> Option<Finding> {
    let policy = password_policy(homeserver).ok()?;
    let example = password::initial_of_all_kinds(&Secret::new([0; 32]), "example");
    policy.fault(&example).map(|fault| {
        let sentence = format!(
            "the homeserver at {} does not accept the initial passwords that are mailed ({fault:?}, password_config.policy in homeserver.yaml): set credentials = \"link\" or \
             \"confirm\", or relax the rules",
            homeserver.url()
        );
        Finding::new(Warning, "password_rules", sentence)
    })
}

/// Conduit makes whoever is in this room an administrator of the homeserver: the bot needs no such power, and should not have it.
fn bot_is_administrator(site: &Site, homeserver: &Homeserver) -> Option<Finding> {
    let admins = room::resolve_alias(homeserver, &format!("#admins:{}", site.config.server_name)).ok()?;
    let joined = bot::with_token(site, |token| room::joined_rooms(homeserver, token)).ok()?;
    joined.contains(&admins).then(|| {
        let sentence = format!(
            "the bot is in #admins:{} and with that an administrator of the homeserver, as the first account to register may become: let it leave that room, and make an account of your own first",
            site.config.server_name
        );
        Finding::new(Warning, "bot_is_administrator", sentence)
    })
}

/// Whether the cause says nothing about the way to accounts.
fn is_passing(cause: &Error) -> bool {
    matches!(cause, Error::Limited { .. } | Error::Unreachable(_))
}
