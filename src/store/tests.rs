use super::*;
use crate::config::Language;
use crate::registration::State;
use std::path::PathBuf;

/// A database of its own for one test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let folder = std::env::temp_dir().join(format!("store-{}", crate::token::new_seed()));
        std::fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    fn open(&self, access: Access) -> Store {
        Store::open(&DatabaseUrl::Sqlite(self.0.join("data/register.sqlite")), access).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn request(username: &str, submission: &str) -> NewRegistration {
    let seed = crate::token::new_seed();
    NewRegistration {
        submission: submission.into(),
        verify_token_hash: format!("verify {seed}"),
        admin_token_hash: format!("admin {seed}"),
        seed,
        username: username.into(),
        first_name: "Max".into(),
        last_name: "Muster".into(),
        email: "Max@example.org".into(),
        email_folded: "max@example.org".into(),
        note: "hello".into(),
        language: Language::German,
        password: Some("sealed".into()),
        requested_at: 1000,
    }
}

fn accepted(store: &mut Store, username: &str) -> i64 {
    match store.file(&request(username, &crate::token::new_seed())).unwrap() {
        Filed::Accepted(id) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_form_sent_twice_is_one_request() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let first = request("max", "form");
    let Filed::Accepted(id) = store.file(&first).unwrap() else { panic!() };
    let Filed::CameBefore(before) = store.file(&NewRegistration { seed: "other".into(), ..first }).unwrap() else { panic!() };
    assert_eq!((before.id, before.language, before.state), (id, Language::German, State::EmailSend));
}

#[test]
fn a_username_goes_to_the_first_even_if_many_ask_at_once() {
    let scratch = Scratch::new();
    scratch.open(Access::Write);
    let accepted: usize = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let mut store = scratch.open(Access::Write);
            matches!(store.file(&request("max", &format!("form {number}"))).unwrap(), Filed::Accepted(_))
        };
        let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || ask(number))).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(accepted, 1);
}

#[test]
fn a_declined_name_can_be_claimed_again() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(matches!(store.file(&request("max", "second")).unwrap(), Filed::NameTaken));
    assert!(store.advance(id, State::EmailSend, State::AdminSend, 1001).unwrap());
    assert!(store.decide(id, State::AdminSend, State::DeclineSend, Some("no"), 1002).unwrap());
    let declined = store.registration(id).unwrap().unwrap();
    assert_eq!((declined.reason.as_deref(), declined.decided_at, declined.password), (Some("no"), Some(1002), None));
    accepted(&mut store, "max");
}

#[test]
fn an_expired_request_frees_its_name_and_forgets_the_person() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.lease(id, State::EmailSend, "me", 1000, 1100).unwrap());
    assert!(store.settle(id, State::EmailSend, "me", State::EmailVerify, 1010).unwrap());
    assert_eq!(store.expire(State::EmailVerify, State::Expired, 1010, false, 2000).unwrap(), 0);
    assert_eq!(store.expire(State::EmailVerify, State::Expired, 1011, false, 2000).unwrap(), 1);
    let expired = store.registration(id).unwrap().unwrap();
    assert_eq!((expired.state, expired.email.as_str(), expired.first_name.as_str()), (State::Expired, "", ""));
    accepted(&mut store, "max");
    assert_eq!(store.forget(State::Expired, 2001).unwrap(), 1);
    assert!(store.registration(id).unwrap().is_none());
}

#[test]
fn an_unsent_mail_does_not_expire_unless_it_was_refused_for_good() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.expire(State::EmailSend, State::Expired, 9000, true, 9000).unwrap(), 0);
    assert!(store.lease(id, State::EmailSend, "me", 1000, 1100).unwrap());
    store.postpone(id, "me", 1060, true, "550 no such user").unwrap();
    assert_eq!(store.expire(State::EmailSend, State::Expired, 9000, true, 9000).unwrap(), 1);
}

#[test]
fn a_lease_is_held_by_one_and_ends_by_itself() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.lease(id, State::EmailSend, "me", 1000, 1100).unwrap());
    assert!(!store.lease(id, State::EmailSend, "you", 1099, 1200).unwrap());
    assert!(store.due(State::EmailSend, 1099, 10).unwrap().is_empty());
    assert!(store.lease(id, State::EmailSend, "you", 1100, 1200).unwrap());
    assert!(!store.settle(id, State::EmailSend, "me", State::EmailVerify, 1101).unwrap(), "the first lost it");
    assert!(store.settle(id, State::EmailSend, "you", State::EmailVerify, 1101).unwrap());
}

#[test]
fn what_failed_is_not_tried_again_before_its_time() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.lease(id, State::EmailSend, "me", 1000, 1100).unwrap());
    store.postpone(id, "me", 1060, false, "mail server away").unwrap();
    assert!(store.due(State::EmailSend, 1059, 10).unwrap().is_empty());
    assert_eq!(store.due(State::EmailSend, 1060, 10).unwrap(), [id]);
    assert_eq!(store.registration(id).unwrap().unwrap().attempts, 1);
}

#[test]
fn account_and_state_change_together_or_not_at_all() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.advance(id, State::EmailSend, State::AdminSend, 1).unwrap();
    store.decide(id, State::AdminSend, State::Register, None, 2).unwrap();
    let login = NewLogin {
        localpart: "max".into(),
        first_name: "Max".into(),
        last_name: "Muster".into(),
        password_hash: "$argon2id$".into(),
        email: "max@example.org".into(),
        email_folded: "max@example.org".into(),
        created_at: 3,
        initial_password_until: Some(4),
    };
    assert!(!store.settle_with_login(id, State::Register, "me", State::MailCredentials, &login).unwrap(), "without the lease");
    assert!(!store.login_exists("max").unwrap());
    assert!(store.lease(id, State::Register, "me", 3, 100).unwrap());
    assert!(store.settle_with_login(id, State::Register, "me", State::MailCredentials, &login).unwrap());
    assert!(store.login_exists("max").unwrap());
    let made = store.registration(id).unwrap().unwrap();
    assert_eq!((made.state, made.password), (State::MailCredentials, None));
}

#[test]
fn a_reader_cannot_change_anything() {
    let scratch = Scratch::new();
    let id = accepted(&mut scratch.open(Access::Write), "max");
    let mut reader = scratch.open(Access::Read);
    assert!(reader.advance(id, State::EmailSend, State::AdminSend, 1).is_err());
    assert_eq!(reader.registration(id).unwrap().unwrap().state, State::EmailSend);
}

#[test]
fn a_newer_database_is_refused_with_a_sentence() {
    let scratch = Scratch::new();
    scratch.open(Access::Write).execute("UPDATE schema_version SET version = 99", &[]).unwrap();
    let path = DatabaseUrl::Sqlite(scratch.0.join("data/register.sqlite"));
    let sentence = Store::open(&path, Access::Write).err().unwrap().to_string();
    assert!(sentence.contains("99") && sentence.contains("newer version"), "{sentence}");
}

#[test]
fn the_database_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let _store = scratch.open(Access::Write);
    let mode = std::fs::metadata(scratch.0.join("data/register.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_lock_is_one_holders_until_it_ends() {
    let scratch = Scratch::new();
    let mut store = scratch.open(Access::Write);
    assert!(store.take_lock("cron", "a", 100, 200).unwrap());
    assert!(!store.take_lock("cron", "b", 150, 300).unwrap());
    assert!(store.take_lock("cron", "b", 200, 300).unwrap(), "the holder died");
    store.release_lock("cron", "a").unwrap();
    assert!(!store.take_lock("cron", "c", 250, 400).unwrap());
    store.release_lock("cron", "b").unwrap();
    assert!(store.take_lock("cron", "c", 250, 400).unwrap());
}
