//! Decides what happens to each row of the PHP program. Pure, no I/O except for random seeds.
//!
//! Every request continues in its state, with a new seed; its old links keep working beside ours. The exceptions are rows that
//! the PHP program left stuck:
//!
//! | the row | because the PHP program | result |
//! |---|---|---|
//! | an approved request with an account in its own table | on SQLite made the account in cron, but could not change the state | `Done`, and a remark |
//! | an approved request on SQLite, with accounts in Synapse | perhaps did the same | the account is requested; if it exists: `Done`, and a warning |
//! | an account whose credentials could not be mailed | never tried again | the credentials are mailed, with a new initial password if nobody knows the old one |
//! | the same, but the account has another mail address | let the operator correct it, or the account is another person's | `Done`, and a remark |
//! | a typed password of an undecided request, or in local mode of one without an account | asked for it on the form, where anybody could name somebody else's address | dropped: it is asked for again, or an initial one is mailed |
//! | two requests with one username | did not check in the database | both continue, and the more advanced one keeps the name; the other applicant is told that it is taken |
//! | two accounts with one localpart | did not check in the database | the first active one stays, as it is the one that could log in; the others are deactivated |

use super::Report;
use crate::domain::address;
use crate::domain::config::{Language, OperationMode};
use crate::domain::password;
use crate::domain::registration::State;
use crate::domain::token::{self, Secret};
use crate::outside::store::php::{PhpLogin, PhpReader, PhpRegistration, PhpRows, TakenLogin, TakenRegistration};
use std::collections::{BTreeMap, HashSet};

/// The longest username or localpart in our tables, in characters.
const LONGEST_NAME: usize = 255;
/// The longest folded address in our tables, in characters.
const LONGEST_ADDRESS: usize = 320;
/// The longest password hash in our tables, in characters.
const LONGEST_HASH: usize = 255;

/// The context of the decisions.
pub struct Rules<'a> {
    pub secret: &'a Secret,
    pub mode: OperationMode,
    /// The language of all requests, as the PHP program stored none.
    pub language: Language,
    pub bot_localpart: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

/// The rows for our tables.
#[derive(Default)]
pub struct Plan {
    pub registrations: Vec<PlannedRegistration>,
    pub logins: Vec<PlannedLogin>,
    clear_passwords: usize,
    remarks: Vec<String>,
}

pub struct PlannedRegistration {
    pub row: TakenRegistration,
    /// In clear; sealed before it is stored. Only in synapse mode.
    pub typed_password: Option<String>,
}

pub struct PlannedLogin {
    pub row: TakenLogin,
    /// The seed of the registration whose initial password the account gets.
    pub initial_password_of: Option<String>,
}

/// Decides what happens to each row.
pub fn plan(rows: &PhpRows, rules: &Rules) -> Plan {
    let mut plan = Plan { clear_passwords: rows.registrations.iter().filter(|row| !row.password.is_empty()).count(), ..Plan::default() };
    plan.take_logins(rows, rules);
    plan.take_registrations(rows, rules);
    plan.remark_shared_addresses();
    plan
}

impl Plan {
    pub fn report(&self) -> Report {
        Report {
            registrations: self.registrations.len(),
            logins: self.logins.len(),
            clear_passwords: self.clear_passwords,
            remarks: self.remarks.clone(),
        }
    }

    fn take_logins(&mut self, rows: &PhpRows, rules: &Rules) {
        let mut holders: BTreeMap<&str, &PhpLogin> = BTreeMap::new();
        for row in &rows.logins {
            let holder = holders.entry(&row.localpart).or_insert(row);
            if row.active && !holder.active {
                *holder = row;
            }
        }
        for row in &rows.logins {
            let length = row.localpart.chars().count();
            if length == 0 || length > LONGEST_NAME {
                self.remarks.push(format!("account {} has a localpart of {length} characters and is left out", row.id));
                continue;
            }
            let holder = holders[row.localpart.as_str()];
            let keeps_name = std::ptr::eq(holder, row);
            if !keeps_name {
                self.remarks.push(format!(
                    "account {} has the localpart {:?}, as account {} has, and is switched off; nobody could log in with it before",
                    row.id, row.localpart, holder.id
                ));
            }
            if password::is_too_costly(&row.password_hash) {
                self.remarks.push(format!(
                    "account {} has a password hash that takes too long to check: nobody can log in with it; hand over a new password",
                    row.id
                ));
            }
            let localpart = if keeps_name { row.localpart.clone() } else { set_aside(row, &holders) };
            self.logins.push(login(row, localpart, rules, keeps_name));
        }
    }

    fn take_registrations(&mut self, rows: &PhpRows, rules: &Rules) {
        let mut tokens = HashSet::new();
        for row in &rows.registrations {
            match self.state_of(row, rules) {
                Ok(state) => {
                    let mut planned = registration(row, state, rules);
                    planned.row.php_links.retain(|link| tokens.insert(link.1.clone()));
                    self.settle_credentials(row, &mut planned, rules);
                    self.registrations.push(planned);
                }
                Err(why) => self.remarks.push(format!("registration {} is left out: {why}", row.id)),
            }
        }
        self.share_out_usernames();
    }

    /// The state in which a row continues, or why it cannot.
    fn state_of(&mut self, row: &PhpRegistration, rules: &Rules) -> Result<State, String> {
        let number = row.state.unwrap_or(0);
        let state = State::from_number(number).filter(|state| !matches!(state, State::ChooseSend | State::Choosing | State::Withdrawn));
        let state = state.ok_or_else(|| format!("it has the unknown state {number}"))?;
        let length = row.username.chars().count();
        if length == 0 || length > LONGEST_NAME {
            return Err(format!("its username has {length} characters"));
        }
        if address::cleaned(row.email.trim()).is_empty() && !state.is_final() {
            return Err("it has no mail address".into());
        }
        if state == State::Register && rules.mode.has_own_passwords() && self.account_of(row).is_some() {
            self.remarks.push(format!(
                "registration {} of {:?} was approved, and its account exists: PHP's cron made it and could not write that down. It counts as done; if no mail reached the person, decide how to hand over a new password",
                row.id, row.username
            ));
            return Ok(State::Done);
        }
        if state == State::MailCredentials && rules.mode.has_own_passwords() && self.account_of(row).is_none() && self.has_login(row) {
            self.remarks.push(format!(
                "registration {} of {:?}: the mail with the password never left, and the account of this name has another mail address: it was corrected, or it is another person's. It counts as done; see whose it is before you hand over a password",
                row.id, row.username
            ));
            return Ok(State::Done);
        }
        Ok(state)
    }

    fn has_login(&self, row: &PhpRegistration) -> bool {
        self.logins.iter().any(|login| login.row.localpart == row.username)
    }

    /// The account in the PHP program's table that a registration led to: with the same name and address.
    fn account_of(&mut self, row: &PhpRegistration) -> Option<&mut PlannedLogin> {
        let address = folded(&address::cleaned(row.email.trim()));
        self.logins.iter_mut().find(|login| login.row.localpart == row.username && login.row.email_folded == address && !address.is_empty())
    }

    /// Handles requests whose account was made, but whose mail failed.
    fn settle_credentials(&mut self, row: &PhpRegistration, planned: &mut PlannedRegistration, rules: &Rules) {
        if planned.row.state != State::MailCredentials {
            return;
        }
        let seed = planned.row.seed.clone();
        if rules.mode.has_own_passwords()
            && let Some(login) = self.account_of(row)
        {
            planned.row.password_chosen = false;
            login.initial_password_of = Some(seed);
            // Nobody has set this password: see `renew_initial_password`.
            login.row.changed_at = login.row.created_at;
            self.remarks.push(format!(
                "registration {} of {:?}: the mail with the password never left; a new initial password is mailed",
                row.id, row.username
            ));
        } else if planned.row.password_chosen && rules.mode.has_own_passwords() {
            self.remarks.push(format!(
                "registration {} of {:?}: the account was made in Synapse before operation_mode was \"local\". The mail says \"the password that you chose\", which works only while Synapse checks its own passwords (password_config.localdb_enabled: true in homeserver.yaml)",
                row.id, row.username
            ));
        } else if !planned.row.password_chosen {
            self.remarks.push(format!(
                "registration {} of {:?}: the account is in Synapse, and the mail with its password never left, so nobody knows it. The bot sets a new one and mails it once its account is a server administrator",
                row.id, row.username
            ));
        }
    }

    /// The database reserves each username for one request: of several, the most advanced one, then the oldest.
    fn share_out_usernames(&mut self) {
        let mut order: Vec<usize> = (0..self.registrations.len()).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(self.registrations[*index].row.state.number()), self.registrations[*index].row.id));
        let mut holders: BTreeMap<String, i64> = BTreeMap::new();
        for index in order {
            let row = &mut self.registrations[index].row;
            if !row.claims_username {
                continue;
            }
            if let Some(holder) = holders.get(&row.username) {
                row.claims_username = false;
                self.remarks.push(format!(
                    "registration {} asks for the username {:?}, which registration {holder} has as well; if both are approved, the second is told that it is taken",
                    row.id, row.username
                ));
            } else {
                holders.insert(row.username.clone(), row.id);
            }
        }
    }

    fn remark_shared_addresses(&mut self) {
        let mut by_address: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for login in self.logins.iter().filter(|login| login.row.active && !login.row.email_folded.is_empty()) {
            by_address.entry(&login.row.email_folded).or_default().push(&login.row.localpart);
        }
        let shared = by_address.values().filter(|names| names.len() > 1);
        let remarks: Vec<String> =
            shared.map(|names| format!("the accounts {} have one mail address; look-ups find {}", names.join(", "), names[0])).collect();
        self.remarks.extend(remarks);
    }
}

fn login(row: &PhpLogin, localpart: String, rules: &Rules, keeps_name: bool) -> PlannedLogin {
    // The bot's own account was an ordinary one that everybody could find.
    let is_bot = row.localpart == rules.bot_localpart;
    let email = if is_bot { String::new() } else { address::cleaned(row.email.trim()) };
    let password_hash = if row.password_hash.chars().count() > LONGEST_HASH { "*" } else { &row.password_hash };
    let created_at = row.created_at.unwrap_or(rules.now);
    PlannedLogin {
        row: TakenLogin {
            id: row.id,
            active: row.active && keeps_name,
            localpart,
            first_name: unfiltered(&row.first_name),
            last_name: unfiltered(&row.last_name),
            password_hash: password_hash.to_owned(),
            email_folded: folded(&email),
            email,
            created_at,
            changed_at: row.changed_at.unwrap_or(created_at),
            initial_password_until: None,
            in_directory: keeps_name && !is_bot,
        },
        initial_password_of: None,
    }
}

/// The new name of an account whose localpart belongs to another one. It contains a blank, so nobody can ask for it. It must
/// not be another account's name, as the PHP program may have allowed any.
fn set_aside(row: &PhpLogin, holders: &BTreeMap<&str, &PhpLogin>) -> String {
    let mut name = format!("duplicate {} of {}", row.id, row.localpart);
    while holders.contains_key(shortened(&name, LONGEST_NAME).as_str()) {
        name.insert_str(0, "duplicate ");
    }
    shortened(&name, LONGEST_NAME)
}

fn registration(row: &PhpRegistration, state: State, rules: &Rules) -> PlannedRegistration {
    let seed = token::new_seed();
    let (verify_token_hash, admin_token_hash) = rules.secret.link_token_hashes(&seed);
    let links = [(PhpReader::Applicant, &row.verify_token), (PhpReader::Room, &row.admin_token)];
    let typed = typed_password(row, state, rules.mode);
    let email = address::cleaned(row.email.trim());
    PlannedRegistration {
        row: TakenRegistration {
            id: row.id,
            state,
            submission: token::hash(&format!("taken over {seed}")),
            verify_token_hash,
            admin_token_hash,
            seed,
            username: row.username.clone(),
            claims_username: !state.frees_username(),
            first_name: unfiltered(&row.first_name),
            last_name: unfiltered(&row.last_name),
            email_folded: folded(&email),
            email,
            note: unfiltered(&row.note),
            language: rules.language,
            password: None,
            password_chosen: typed.is_some(),
            requested_at: row.requested_at.unwrap_or(rules.now),
            state_since: rules.now,
            account_tried_at: (state == State::Register && row.has_no_id).then_some(rules.now),
            php_links: links.into_iter().filter(|(_, token)| !token.is_empty()).map(|(who, link)| (who, token::hash(link))).collect(),
        },
        // Once the account exists, the password is not needed any more.
        typed_password: typed.filter(|_| state == State::Register),
    }
}

/// The password that was typed in the form, if it can still be that of the account.
///
/// Anybody could type one for any address, not only its owner. So it counts only after the decision, when an account may have
/// it. Before, applicants who confirm their address are asked again, and those who have confirmed it get an initial one. In
/// local mode no account has it before the state changes: the one in Synapse gets a password of its own.
///
/// An existing account has the password that PHP's filter produced. If the filter changed it, the applicant does not know that
/// password, and it counts as none.
fn typed_password(row: &PhpRegistration, state: State, mode: OperationMode) -> Option<String> {
    let typed = unfiltered(&row.password);
    let is_usable = !typed.is_empty() && typed.len() <= password::MAX_BYTES && !typed.contains('\0');
    let may_be_the_accounts = match state {
        State::EmailSend | State::EmailVerify | State::AdminSend | State::AdminVerify => false,
        State::Register => !mode.has_own_passwords(),
        _ => typed == row.password,
    };
    (is_usable && may_be_the_accounts).then_some(typed)
}

/// Undoes the changes of PHP's `FILTER_SANITIZE_STRING` to quotation marks. The tags that it removed are lost.
fn unfiltered(text: &str) -> String {
    text.replace("&#39;", "'").replace("&#34;", "\"")
}

fn folded(email: &str) -> String {
    shortened(&address::folded(email), LONGEST_ADDRESS)
}

fn shortened(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
