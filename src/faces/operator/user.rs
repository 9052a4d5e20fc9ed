//! `user`: the accounts of local mode. In the other modes the homeserver has them, and its own tools are named.

use super::answer::{Answer, Refusal};
use super::command::User;
use super::{people, table};
use crate::domain::address::Address;
use crate::domain::characters::one_line;
use crate::domain::config::OperationMode;
use crate::domain::names;
use crate::domain::registration::State;
use crate::domain::seconds::utc;
use crate::domain::stage::Stage;
use crate::flow::{devices, queue, resets};
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{Access, Account, AccountSearch, Registration, Store};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;

/// The largest number of accounts on one page.
const MOST_ON_A_PAGE: u32 = 10_000;
/// Lines of a terminal that are not for accounts: header, what follows the table, and the prompt.
const OTHER_LINES: u16 = 4;

pub fn obey(site: &Site, command: User) -> Result<Answer, Refusal> {
    if !site.config.operation_mode.has_own_passwords() {
        return Err(Refusal::No(elsewhere(site.config.operation_mode)));
    }
    match command {
        User::List { search, disabled, page, per_page } => list(site, search.as_deref(), disabled, (page, per_page)),
        User::Show { user } => show(site, &user),
        User::Disable { user, devices } => disable(site, &user, devices),
        User::Enable { user } => enable(site, &user),
        User::Reset { user, devices } => reset(site, &user, devices),
        User::Forget { user } => forget(site, &user),
    }
}

fn elsewhere(mode: OperationMode) -> String {
    let tool = match mode {
        OperationMode::Mas => {
            "matrix-authentication-service has the accounts; its own command is mas-cli manage, for example lock-user, unlock-user or set-password"
        }
        OperationMode::RegistrationToken => "the homeserver has the accounts; use its own commands or its admin room",
        OperationMode::Synapse | OperationMode::Local => {
            "Synapse has the accounts; use its admin API (/_synapse/admin/v2/users) or a program for it, for example synapse-admin"
        }
    };
    format!("operation_mode is {:?}: {tool}. What the bot itself stores is shown and deleted by export and forget", mode.name())
}

/// An account. Times are seconds since 1970.
#[derive(Debug, Serialize)]
struct Line {
    username: String,
    mxid: String,
    first_name: String,
    last_name: String,
    email: String,
    is_active: bool,
    created_at: Option<i64>,
    /// When the password was set.
    password_set_at: Option<i64>,
    initial_password_until: Option<i64>,
}

fn line(site: &Site, account: Account) -> Line {
    Line {
        mxid: names::mxid(&account.localpart, &site.config.server_name),
        username: account.localpart,
        first_name: account.first_name,
        last_name: account.last_name,
        email: account.email,
        is_active: account.is_active,
        created_at: account.created_at,
        password_set_at: account.changed_at,
        initial_password_until: account.initial_password_until,
    }
}

impl Line {
    fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim().to_owned()
    }

    fn state(&self, now: i64) -> &'static str {
        match (self.is_active, self.initial_password_until) {
            (false, _) => "disabled",
            (true, Some(until)) if until <= now => "initial password expired",
            (true, Some(_)) => "initial password",
            (true, None) => "",
        }
    }
}

fn list(site: &Site, search: Option<&str>, only_disabled: bool, (page, per_page): (u32, Option<u32>)) -> Result<Answer, Refusal> {
    let text = search.map(str::trim).filter(|text| !text.is_empty());
    let search = AccountSearch { text, only_disabled };
    let per_page = i64::from(per_page.unwrap_or_else(|| table::height(MOST_ON_A_PAGE, OTHER_LINES)));
    let mut store = site.store(Access::Read)?;
    let total = store.count_accounts(&search)?;
    let found = store.accounts(&search, i64::from(page - 1) * per_page, per_page)?;
    let lines: Vec<Line> = found.into_iter().map(|account| line(site, account)).collect();
    let pages = (total + per_page - 1) / per_page;
    let mut rows = table::Rows::new(&["Username", "Name", "Email", "Since", "State"]);
    for line in &lines {
        let since = line.created_at.map_or(String::new(), |at| utc(at)[..10].to_owned());
        rows.add(&[&line.username, &line.full_name(), &line.email, &since, line.state(site.now())]);
    }
    let text = match (total, pages) {
        (0, _) => "no account\n".to_owned(),
        (_, 1) => rows.to_string(),
        _ => format!("{rows}page {page} of {pages}, {total} accounts; --page shows another one\n"),
    };
    Ok(Answer { text, json: json!({ "accounts": lines, "total": total, "page": page, "pages": pages }) })
}

/// The account with this username, Matrix ID or mail address.
fn find(site: &Site, store: &mut Store, named: &str) -> Result<Account, Refusal> {
    let named = named.trim();
    if let Ok(address) = Address::parse(named) {
        let mut accounts = store.accounts_of_address(&address.folded())?;
        return match &accounts[..] {
            [] => Err(nobody(named)),
            [_] => Ok(accounts.swap_remove(0)),
            several => {
                let names: Vec<&str> = several.iter().map(|account| account.localpart.as_str()).collect();
                Err(Refusal::No(format!("several accounts have this address: name one of them, {}", names.join(", "))))
            }
        };
    }
    let id = named.trim_start_matches('@').to_lowercase();
    let localpart = id.strip_suffix(&format!(":{}", site.config.server_name)).unwrap_or(&id);
    store.account(localpart)?.ok_or_else(|| nobody(named))
}

fn nobody(named: &str) -> Refusal {
    Refusal::No(format!("there is no account {named:?}; matrix-register-bot user list shows all"))
}

/// The request that became this account, while it is kept.
fn origin(store: &mut Store, account: &Account) -> Result<Option<Registration>, Refusal> {
    for id in store.requests_of_username(&account.localpart)? {
        let registration = store.registration(id)?;
        if let Some(registration) = registration.filter(|one| matches!(one.state, State::MailCredentials | State::Done)) {
            return Ok(Some(registration));
        }
    }
    Ok(None)
}

fn show(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Read)?;
    let account = find(site, &mut store, named)?;
    let (networks, link_until) = (store.count_networks(account.id)?, store.reset_link_until(account.id, site.now())?);
    let request = origin(&mut store, &account)?;
    let line = line(site, account);
    let mut all = json!(line);
    all["familiar_networks"] = json!(networks);
    all["reset_link_until"] = json!(link_until);
    all["request"] = json!(request.as_ref().map(|request| json!({ "request": request.id, "state": Stage::of(request.state).name() })));
    let from =
        request.map_or("none that is kept".to_owned(), |request| format!("{}: matrix-register-bot show {}", request.number(), request.id));
    let mut text = String::new();
    let mut say = |what: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{what:<12} {}", one_line(value));
        }
    };
    let time = |at: Option<i64>| at.map(utc).unwrap_or_default();
    say("Username", &line.mxid);
    say("Name", &line.full_name());
    say("Email", &line.email);
    say("State", if line.is_active { "active" } else { "disabled" });
    say("Since", &time(line.created_at));
    say("Password", &format!("set on {}", time(line.password_set_at)));
    say("Initial", &line.initial_password_until.map_or(String::new(), |until| format!("an initial password, good until {}", utc(until))));
    say("Reset link", &link_until.map_or(String::new(), |until| format!("good until {}", utc(until))));
    say("Networks", &format!("{networks} remembered"));
    say("Request", &from);
    Ok(Answer { text, json: all })
}

fn disable(site: &Site, named: &str, with_devices: bool) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let account = find(site, &mut store, named)?;
    let was_active = store.disable_account(account.id)?;
    if !was_active && !with_devices {
        return Err(Refusal::No(format!("the account {} is disabled already", account.localpart)));
    }
    log::info("account_disabled", None, &by_operator(&account));
    drop(store);
    let done = format!("the account {} is disabled: nobody can log in with it", account.localpart);
    after_devices(site, &account, with_devices, &done, "; devices that are logged in stay so, --devices logs them out")
}

fn enable(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let account = find(site, &mut store, named)?;
    if !store.enable_account(account.id)? {
        return Err(Refusal::No(format!("the account {} is not disabled", account.localpart)));
    }
    log::info("account_enabled", None, &by_operator(&account));
    Ok(changed(&account, true, &format!("the account {} is enabled, with the password that it had", account.localpart)))
}

/// Mails a link as the page for forgotten passwords does.
fn reset(site: &Site, named: &str, with_devices: bool) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let account = find(site, &mut store, named)?;
    if !account.is_active {
        return Err(Refusal::No(format!("the account {} is disabled: enable it first", account.localpart)));
    }
    if Address::parse(&account.email).is_err() {
        return Err(Refusal::No(format!("the account {} has no address to which a link could be mailed", account.localpart)));
    }
    let language = origin(&mut store, &account)?.map_or_else(|| site.config.default_language, |request| request.language);
    let asked = resets::ask_for_owner(site, &mut store, &account.localpart, language)?;
    log::info("password_reset_asked", None, &by_operator(&account));
    queue::mail_resets(site)?;
    let is_mailed = store.is_reset_settled(&asked)?;
    drop(store);
    let mail = if is_mailed { "is mailed" } else { "is mailed as soon as the mail server and the limits of [limits] allow it" };
    let done = format!("a link to set a new password {mail} to the owner of {}; until then the old one stays", account.localpart);
    after_devices(site, &account, with_devices, &done, "")
}

/// Logs out the devices if that is wanted. The rest is done by then.
fn after_devices(site: &Site, account: &Account, is_wanted: bool, done: &str, otherwise: &str) -> Result<Answer, Refusal> {
    let account = site.store(Access::Read)?.account(&account.localpart)?.unwrap_or_else(|| account.clone());
    if !is_wanted {
        return Ok(changed(&account, account.is_active, &format!("{done}{otherwise}")));
    }
    match devices::log_out(site, &account.localpart, None) {
        Ok(()) => Ok(changed(&account, account.is_active, &format!("{done}; its devices are logged out"))),
        Err(cause) => Err(Refusal::Failed(format!(
            "{done}; but its devices could not be logged out: {cause}; that needs a bot that is a server administrator"
        ))),
    }
}

/// Deletes the account, and everything else that is stored about its owner. Of an address with several accounts, only what belongs
/// to this one.
fn forget(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let account = find(site, &mut store, named)?;
    let folded = crate::domain::address::folded(&account.email);
    let is_alone = Address::parse(&account.email).is_ok() && store.accounts_of_address(&folded)?.len() == 1;
    let person = is_alone.then_some(folded.as_str());
    let mut ids = store.requests_of_username(&account.localpart)?;
    if let Some(folded) = person {
        ids.extend(store.all_requests_of_address(folded)?);
    }
    let mut own = Vec::new();
    for id in ids {
        // Others may have asked for the same username.
        if let Some(request) = store.registration(id)?
            && (request.email_folded == folded || matches!(request.state, State::MailCredentials | State::Done))
            && !own.contains(&id)
        {
            own.push(id);
        }
    }
    let deleted = people::delete(site, &mut store, &own, person, std::slice::from_ref(&account))?;
    let mxid = names::mxid(&account.localpart, &site.config.server_name);
    let sentence = format!("{}; what the homeserver itself stores about {mxid} is deleted there", deleted.sentence());
    Ok(Answer { json: deleted.json(&sentence), text: sentence + "\n" })
}

fn by_operator(account: &Account) -> String {
    format!("account {}, by={}", account.id, ownership::shell_user())
}

fn changed(account: &Account, is_active: bool, sentence: &str) -> Answer {
    Answer { text: format!("{sentence}\n"), json: json!({ "username": account.localpart, "is_active": is_active, "said": sentence }) }
}
