//! Accounts in matrix-authentication-service (MAS), by its admin API.
//!
//! MAS makes the account in the homeserver first and in its own database last, has no key that makes a repetition harmless, and
//! keeps no reference of ours. So what a lost answer leaves is told by the notes of `store/account_notes.rs`, which are written
//! before and after each call:
//!
//! 1. A token. Then the account of the notes, or else a look-up of the name.
//! 2. Nobody has the name: the time of that answer is noted, by MAS's clock, and the account is asked for.
//! 3. Somebody has it: [`whose`] compares it with the notes.
//! 4. The homeserver has it and MAS does not: [`half_made`] completes what an earlier try of ours left, if that is proved.
//! 5. Display name (before MAS 1.18), address and password, each of which can be repeated; the password is noted, and not set again.
//!
//! The name rules of MAS's own registration page do not apply to the admin API; those of `names.rs` do.

mod checks;
mod half_made;
mod whose;

use super::first_password::FirstPassword;
use super::{Accounts, Finding, Outcome, Weight};
use crate::domain::config::Credentials;
use crate::domain::names;
use crate::domain::token;
use crate::flow::failure::Failure;
use crate::outside::log;
use crate::outside::mas::addresses::{self, Bound};
use crate::outside::mas::server::{self, Version};
use crate::outside::mas::users::{self, Created, Found, Left, NotCreated, PasswordSet, User};
use crate::outside::mas::{Mas, Session, sessions};
use crate::outside::matrix::availability::display_name;
use crate::outside::matrix::{self, Homeserver, accounts as homeserver_accounts, bot};
use crate::outside::site::Site;
use crate::outside::store::{AccountNote, Registration, Store, WasFree};
use checks::Check;
use whose::Whose;

pub(super) struct InMas;

impl Accounts for InMas {
    fn make(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
        let password = FirstPassword::of(site, store, registration)?;
        let mas = Mas::new(&site.config)?;
        let made = mas.with_token(|session| Work { site, session, registration, password: &password }.make(store));
        password.judge(made?)
    }

    fn check(&self, site: &Site) -> Vec<Finding> {
        let finding = |check: Check| match check {
            Check::Fine(sentence) => Finding::new(Weight::Fine, "accounts", sentence),
            Check::Doubtful(sentence) => Finding::new(Weight::Warning, "accounts", sentence),
            Check::Wrong(sentence) => Finding::new(Weight::Fault, "accounts", sentence),
        };
        checks::checks(site).into_iter().map(finding).collect()
    }

    /// Only a new secret key makes another initial password than the one that was set.
    fn renew_lost_password(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
        let note = store.account_note(registration.id)?;
        let Some(id) = note.account_id.as_deref() else { return Ok(()) };
        if registration.password_chosen || note.password_set_with.is_none() || is_set(&note, registration) {
            return Ok(());
        }
        let password = FirstPassword::of(site, store, registration)?;
        let mas = Mas::new(&site.config)?;
        mas.with_token(|session| {
            if !sessions::is_unused(session, id)? {
                return Err(Failure::later(format!(
                    "{} was used already, so it gets no new password; tell the applicant in another way",
                    names::mxid(&registration.username, &site.config.server_name)
                )));
            }
            users::set_password(session, id, &password.text, false)?;
            Ok(store.note_password_set(registration.id, &token::hash(&registration.seed))?)
        })
    }

    fn recover_link(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Option<String>, Failure> {
        let was_given_one = registration.password_chosen || store.account_note(registration.id)?.password_set_with.is_some();
        Ok(site.config.mas.as_ref().filter(|_| !was_given_one).map(|mas| mas.public_url.join("/recover")))
    }
}

/// Whether the account should get no password from us: the person sets the first one with MAS's account recovery.
fn wants_none(site: &Site, registration: &Registration) -> bool {
    site.config.credentials() == Credentials::Recovery && registration.password.is_none() && !registration.password_chosen
}

fn is_set(note: &AccountNote, registration: &Registration) -> bool {
    note.password_set_with.as_deref() == Some(token::hash(&registration.seed).as_str())
}

/// One try to make the account of a request.
struct Work<'a> {
    site: &'a Site,
    session: &'a Session<'a>,
    registration: &'a Registration,
    password: &'a FirstPassword,
}

/// An account that is ours.
struct Account {
    id: String,
    use_: Use,
}

/// Whether somebody has logged in to an account of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    None,
    /// Its password and its name are its owner's.
    ByOwner,
    /// It has the password of this request, which was tried.
    WithOurPassword,
}

impl Use {
    fn by_owner_if(is_used: bool) -> Use {
        if is_used { Use::ByOwner } else { Use::None }
    }
}

/// An account that is ours, or the outcome without one.
type Sought = Result<Account, Outcome>;

impl Work<'_> {
    fn make(&self, store: &mut Store) -> Result<Outcome, Failure> {
        let account = match self.account(store)? {
            Ok(account) => account,
            Err(outcome) => return Ok(outcome),
        };
        let note = store.account_note(self.registration.id)?;
        if account.use_ == Use::None && !is_set(&note, self.registration) {
            self.show_name(&account)?;
        }
        let has_address = self.bind_address(store, &account)?;
        self.give_password(store, &account, &note, has_address)
    }

    /// The account of the notes, or one that is found or made now.
    fn account(&self, store: &mut Store) -> Result<Sought, Failure> {
        let Some(id) = store.account_note(self.registration.id)?.account_id else { return self.seek(store) };
        match users::by_id(self.session, &id)? {
            Some(user) if user.is_deactivated => Err(Failure::later(format!(
                "{} was made for this request, and deactivated in MAS since; reactivate it there, or end the request: cron --end {}",
                self.mxid(),
                self.registration.id
            ))),
            // Its owner may have changed the password since, if our database was restored.
            Some(_) => Ok(Ok(Account { use_: Use::by_owner_if(!sessions::is_unused(self.session, &id)?), id })),
            None => {
                store.note_account_lost(self.registration.id)?;
                self.seek(store)
            }
        }
    }

    fn seek(&self, store: &mut Store) -> Result<Sought, Failure> {
        let note = store.account_note(self.registration.id)?;
        match users::by_username(self.session, &self.registration.username)? {
            Found::User(user) => self.judge(store, &user, &note),
            Found::Nobody { at } => {
                let is_first = note.first_try_at.is_none();
                let was_free = if is_first { self.was_free() } else { note.was_free };
                store.note_account_try(self.registration.id, self.site.now())?;
                store.note_try(self.registration.id, at.as_second(), was_free)?;
                self.create(store, is_first)
            }
        }
    }

    fn create(&self, store: &mut Store, is_first: bool) -> Result<Sought, Failure> {
        match users::create(self.session, &self.registration.username, &self.display_name()) {
            Ok(Created::Made(user)) => self.keep(store, &user, Use::None).map(Ok),
            Ok(Created::Reserved) if is_first => self.refused(store, "Username is reserved by the homeserver"),
            // A moment ago there was none: an earlier try was at work until now, something on the way sent this one twice, or
            // somebody was faster. The time does not tell, nor does the display name, which may be a loser's.
            Ok(Created::NameTaken) => {
                store.forget_time_of_try(self.registration.id)?;
                Err(Failure::later("MAS made an account of this name while we asked for it; whose it is shows at the next try"))
            }
            Ok(Created::Reserved) => half_made::complete(self, store),
            Ok(Created::NotValid(sentence)) => self.refused(store, &sentence),
            Err(NotCreated { cause, left }) => {
                match left {
                    Left::Nothing if is_first => self.forget_try(store)?,
                    Left::Half => store.note_half(self.registration.id)?,
                    // An account that somebody makes in the minutes after this try is not ours.
                    Left::Nothing => store.forget_time_of_try(self.registration.id)?,
                    Left::Unknown => {}
                }
                Err(cause.into())
            }
        }
    }

    fn refused(&self, store: &mut Store, reason: &str) -> Result<Sought, Failure> {
        self.forget_try(store)?;
        Ok(Err(Outcome::Refused(reason.to_owned())))
    }

    /// Nothing of ours is in MAS.
    fn forget_try(&self, store: &mut Store) -> Result<(), Failure> {
        store.forget_try(self.registration.id)?;
        Ok(store.forget_account_try(self.registration.id)?)
    }

    /// Decides about an account that MAS has.
    fn judge(&self, store: &mut Store, user: &User, note: &AccountNote) -> Result<Sought, Failure> {
        match whose::whose(self, user, note)? {
            Whose::Ours(use_) => self.keep(store, user, use_).map(Ok),
            Whose::SomebodyElses => self.refused(store, "User already exists"),
            Whose::Unclear => Err(Failure::later(format!(
                "{0} exists in MAS, made at another time than any try of ours, and never used; if it is the applicant's, add the applicant's address to it in \
                 MAS, and the next try goes on; if it is somebody else's, end the request: cron --end {1}",
                self.mxid(),
                self.registration.id
            ))),
        }
    }

    /// Notes that an account is ours.
    fn keep(&self, store: &mut Store, user: &User, use_: Use) -> Result<Account, Failure> {
        if !user.username.eq_ignore_ascii_case(&self.registration.username) {
            return Err(Failure::later(format!(
                "MAS made the account {:?} when asked for {:?}",
                user.username, self.registration.username
            )));
        }
        store.note_account(self.registration.id, &user.id)?;
        Ok(Account { id: user.id.clone(), use_ })
    }

    /// Whether the homeserver has no account of this name, as far as it tells.
    fn was_free(&self) -> WasFree {
        let homeserver = Homeserver::new(&self.site.config);
        let username = &self.registration.username;
        match bot::with_token(self.site, |token| homeserver_accounts::find(&homeserver, token, username)) {
            Ok(None) => WasFree::Surely,
            Ok(Some(_)) => WasFree::Unknown,
            Err(matrix::Error::Unreachable(_)) => WasFree::Unknown,
            Err(_) => match display_name(&homeserver, username) {
                Ok(None) => WasFree::AsStrangersSee,
                _ => WasFree::Unknown,
            },
        }
    }

    /// Before 1.18, MAS drops the display name, and the localpart is shown.
    fn show_name(&self, account: &Account) -> Result<(), Failure> {
        let name = self.display_name();
        if name.is_empty() || server::version(self.session)?.is_some_and(|version| version >= Version::WITH_DISPLAY_NAMES) {
            return Ok(());
        }
        let homeserver = Homeserver::new(&self.site.config);
        let shown =
            sessions::act_as(self.session, &account.id, "sign-up: display name").map_err(|cause| cause.to_string()).and_then(|acting| {
                let shown = homeserver_accounts::set_display_name(&homeserver, &acting.access_token, &self.registration.username, &name);
                let stopped = sessions::stop_acting(self.session, &acting).map_err(|cause| cause.to_string());
                shown.map_err(|cause| cause.to_string()).and(stopped)
            });
        if let Err(why) = shown {
            log::warn("display_name_left", Some(self.registration.id), &format!("the account shows its username as its name: {why}"));
        }
        Ok(())
    }

    /// Whether the account has the address.
    fn bind_address(&self, store: &mut Store, account: &Account) -> Result<bool, Failure> {
        let bound = addresses::bind(self.session, &account.id, &self.registration.email)?;
        store.note_address_of_another(self.registration.id, bound == Bound::ToAnother)?;
        match bound {
            Bound::ToAccount => {}
            Bound::ToAnother => log::warn(
                "address_of_another",
                Some(self.registration.id),
                "the address belongs to another account in MAS, and stays there; the new account has none",
            ),
            Bound::Refused(ref sentence) => log::warn("address_refused", Some(self.registration.id), sentence),
        }
        Ok(bound == Bound::ToAccount)
    }

    /// Sets the first password, unless that was done, or the account is in use: its owner has a password then, which we do not know.
    fn give_password(&self, store: &mut Store, account: &Account, note: &AccountNote, has_address: bool) -> Result<Outcome, Failure> {
        // Recovery goes by the address.
        let is_recovered = wants_none(self.site, self.registration) && has_address;
        if is_recovered || is_set(note, self.registration) || account.use_ == Use::ByOwner {
            return Ok(Outcome::Made);
        }
        if account.use_ == Use::None {
            match users::set_password(self.session, &account.id, &self.password.text, self.password.is_chosen)? {
                PasswordSet::Yes => {}
                PasswordSet::TooWeak => return Ok(Outcome::PasswordRefused("Password is too weak".into())),
            }
        }
        store.note_password_set(self.registration.id, &token::hash(&self.registration.seed))?;
        Ok(Outcome::Made)
    }

    fn display_name(&self) -> String {
        names::display_name(&self.registration.first_name, &self.registration.last_name)
    }

    fn mxid(&self) -> String {
        names::mxid(&self.registration.username, &self.site.config.server_name)
    }
}
