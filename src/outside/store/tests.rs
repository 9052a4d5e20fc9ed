//! The promises of the store, for every kind of database.

#[path = "../../../tests/world/connection.rs"]
#[allow(dead_code)]
mod connection;
#[path = "../../../tests/world/database.rs"]
#[allow(dead_code)]
mod database;
mod figures;
#[path = "../../../tests/world/folder.rs"]
#[allow(dead_code)]
mod folder;
mod limits;
mod live_messages;
mod owed;
mod questions;
mod resets;
mod room_messages;
mod unconfirmed;

use super::*;
use crate::domain::back_off::{AddressFault, Blame, Patience, Peer};
use crate::domain::config::{Language, OperationMode};
use crate::domain::decision::{Decider, Outcome, Way};
use crate::domain::registration::{Event, SideAction, State};
use database::{Database, Engine, on_every_database};
use std::path::PathBuf;
use std::sync::Barrier;

/// A separate database for one test, removed at the end.
struct Scratch(Database);

impl Scratch {
    fn on(engine: Engine) -> Scratch {
        Scratch(Database::new(engine))
    }

    fn url(&self) -> DatabaseUrl {
        self.0.url().parse().unwrap()
    }

    fn open(&self, access: Access) -> Store {
        Store::open(&self.url(), access).unwrap()
    }

    /// Ends the connections on the server's side.
    fn end_connections(&self) {
        match self.0.engine() {
            Engine::Sqlite => {}
            Engine::Postgres => self.0.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
            ),
            Engine::Mariadb => {
                for id in self.0.rows("SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()") {
                    self.0.sql(&format!("KILL {}", id[0]));
                }
            }
        }
    }

    /// The path of SQLite's file.
    fn path(&self) -> PathBuf {
        self.0.name().into()
    }
}

fn request(username: &str, submission: &str) -> NewRegistration {
    let seed = crate::domain::token::new_seed();
    NewRegistration {
        submission: submission.into(),
        page_token_hash: format!("page of {submission}"),
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
        filled_hidden_field: false,
        requested_at: 1000,
    }
}

/// The only limit: three other requests with the same address.
const THREE: FilingLimits = FilingLimits { unconfirmed_per_address: 3, network: None, address: None, open: 0, per_day: 0 };

fn login(localpart: &str) -> NewLogin {
    NewLogin {
        localpart: localpart.into(),
        first_name: "Max".into(),
        last_name: "Muster".into(),
        password_hash: "$argon2id$".into(),
        email: "max@example.org".into(),
        email_folded: "max@example.org".into(),
        created_at: 3,
        initial_password_until: Some(4),
    }
}

fn accepted(store: &mut Store, username: &str) -> i64 {
    match store.file(&request(username, &crate::domain::token::new_seed()), &THREE).unwrap() {
        Filed::Accepted(id) => id,
        other => panic!("{other:?}"),
    }
}

fn step(id: i64, state: State) -> OwedRow {
    OwedRow { owed: Owed::Step(state), id }
}

fn due(store: &mut Store, owed: Owed, now: i64) -> Vec<i64> {
    store.due(owed, now, (i64::MIN, 0), 10).unwrap().iter().map(|due| due.registration).collect()
}

/// Records a failed attempt of a row.
fn failed(store: &mut Store, row: OwedRow, blame: &Blame, now: i64, due_at: i64) {
    assert!(store.lease(row, "me", now, now + 100).unwrap());
    let tries = store.tries(row).unwrap().and(blame, PATIENCE, now);
    store.postpone(row, "me", &Postponed { tries, due_at, trouble: blame.trouble(), error: "away" }, now).unwrap();
}

const PATIENCE: Patience = Patience { gone_for: 172_800, in_all: 2_592_000 };
const AWAY: Blame = Blame::Peer(Peer::MailServer);
const GONE: Blame = Blame::Address(AddressFault::Gone);
const REMINDER: Owed = Owed::Beside(SideAction::Remind);
const QUESTION: Owed = Owed::Beside(SideAction::SendQuestion);

fn a_form_sent_twice_is_one_request(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let first = request("max", "form");
    let Filed::Accepted(id) = store.file(&first, &THREE).unwrap() else { panic!() };
    let Filed::CameBefore(before) = store.file(&NewRegistration { seed: "other".into(), ..first }, &THREE).unwrap() else { panic!() };
    assert_eq!((before.id, before.language, before.state), (id, Language::German, State::EmailSend));
}

fn a_form_sent_many_times_at_once_is_one_request(engine: Engine) {
    let scratch = Scratch::on(engine);
    scratch.open(Access::Write);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut store = scratch.open(Access::Write);
                for number in 0..40 {
                    let form = request(&format!("max{number}"), &format!("form {number}"));
                    let limits = FilingLimits { unconfirmed_per_address: 100, ..THREE };
                    // As the page does: the checks come first.
                    let filed = store.refusal(&form, &limits).unwrap().unwrap_or_else(|| store.file(&form, &limits).unwrap());
                    assert!(matches!(filed, Filed::Accepted(_) | Filed::CameBefore(_)), "{number}: {filed:?}");
                }
            });
        }
    });
}

fn a_username_goes_to_the_first_who_confirms_even_if_many_do_at_once(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let limits = FilingLimits { unconfirmed_per_address: 100, ..THREE };
    let ids: Vec<i64> = (0..16)
        .map(|number| match store.file(&request("max", &format!("form {number}")), &limits).unwrap() {
            Filed::Accepted(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    let confirmed: Vec<Confirmed> = std::thread::scope(|scope| {
        let confirm = |id: i64| {
            let mut store = scratch.open(Access::Write);
            move || store.confirm(id, None, None, 1).unwrap()
        };
        let threads: Vec<_> = ids.iter().map(|id| scope.spawn(confirm(*id))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(confirmed.iter().filter(|confirmed| **confirmed == Confirmed::Yes).count(), 1, "{confirmed:?}");
    assert_eq!(confirmed.iter().filter(|confirmed| **confirmed == Confirmed::NameTaken).count(), 15, "{confirmed:?}");
    assert_eq!(store.count(State::EmailSend).unwrap(), 15, "the others have lost nothing");
    assert!(matches!(store.file(&request("max", "late"), &limits).unwrap(), Filed::NameTaken));
}

fn a_decision_counts_in_the_moment_in_which_the_message_is_recorded_as_sent(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, mut other) = (scratch.open(Access::Write), scratch.open(Access::Write));
    for round in 0..30 {
        let id = accepted(&mut store, &format!("name{round}"));
        assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
        let row = OwedRow { owed: Owed::Step(State::AdminSend), id };
        assert!(store.lease(row, "sender", 2, 600).unwrap());
        let both = Barrier::new(2);
        let decided = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                both.wait();
                other.settle(id, State::AdminSend, "sender", State::AdminVerify, 3).unwrap()
            });
            both.wait();
            let decided = store.decline(id, Event::Declined, None, &Decider::Link, 3).unwrap();
            sender.join().unwrap();
            decided
        });
        assert!(decided, "round {round}");
        assert_eq!(store.state(id).unwrap(), Some(State::DeclineSend));
    }
}

fn who_lost_the_name_confirms_with_another(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let (first, second) = (accepted(&mut store, "max"), accepted(&mut store, "max"));
    assert_eq!(store.confirm(first, None, None, 5).unwrap(), Confirmed::Yes);
    assert_eq!(store.confirm(second, None, Some("sealed"), 6).unwrap(), Confirmed::NameTaken);
    store.add_login(&login("eve")).unwrap();
    assert_eq!(store.confirm(second, Some("eve"), Some("sealed"), 6).unwrap(), Confirmed::NameTaken, "there is an account");
    let unchanged = store.registration(second).unwrap().unwrap();
    assert_eq!((unchanged.state, unchanged.username.as_str(), unchanged.password), (State::EmailSend, "max", None));
    assert_eq!(store.confirm(second, Some("moritz"), Some("sealed"), 7).unwrap(), Confirmed::Yes);
    assert_eq!(store.confirm(second, Some("witwe.bolte"), None, 8).unwrap(), Confirmed::NotAwaited);
    let kept = store.registration(second).unwrap().unwrap();
    assert_eq!((kept.username.as_str(), kept.note.as_str(), kept.confirmed_at), ("moritz", "hello", Some(7)));
    assert!(store.username_is_taken("moritz").unwrap() && !store.username_is_taken("witwe.bolte").unwrap());
}

fn a_name_that_an_earlier_version_reserved_stays_so(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let early = accepted(&mut store, "max");
    store.execute("UPDATE registrations SET claimed_username = 'max'", &[]).unwrap();
    assert!(store.advance(early, State::EmailSend, State::EmailVerify, 1).unwrap());
    assert!(matches!(store.file(&request("max", "second"), &THREE).unwrap(), Filed::NameTaken));
    assert_eq!(store.confirm(early, Some("moritz"), None, 2).unwrap(), Confirmed::Yes);
    let late = accepted(&mut store, "max");
    assert_eq!(store.confirm(late, None, None, 3).unwrap(), Confirmed::Yes, "the first one took another name");
}

fn a_declined_name_can_be_claimed_again(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.advance(id, State::EmailSend, State::AdminSend, 1001).unwrap());
    assert!(matches!(store.file(&request("max", "second"), &THREE).unwrap(), Filed::NameTaken));
    assert!(store.decline(id, Event::Declined, Some("no"), &Decider::Link, 1002).unwrap());
    let declined = store.registration(id).unwrap().unwrap();
    assert_eq!((declined.reason.as_deref(), declined.decided_at, declined.password), (Some("no"), Some(1002), None));
    accepted(&mut store, "max");
}

fn each_decision_and_question_says_who_made_it_and_in_which_way(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
    assert!(matches!(
        store.ask(id, "Who are you?", &Decider::Word { mxid: "@bob:example.org".into(), event_id: "$words".into() }, 2).unwrap(),
        Asked::Yes(_)
    ));
    assert!(!store.decline(id, Event::RoomTold, None, &Decider::Link, 3).unwrap(), "no decision");
    let alice = Decider::Reaction("@alice:example.org".into());
    assert!(store.decline(id, Event::Declined, Some("spam"), &alice, 3).unwrap());
    assert!(!store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 4).unwrap());
    let said =
        store.decisions(id).unwrap().into_iter().map(|decided| (decided.outcome, decided.way, decided.by, decided.reason, decided.at));
    let expected = [
        (Outcome::Asked, Way::Word, Some("@bob:example.org".into()), Some("Who are you?".into()), 2),
        (Outcome::Declined, Way::Reaction, Some("@alice:example.org".into()), Some("spam".into()), 3),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
    store
        .execute(
            "INSERT INTO decisions (registration_id, outcome, way, decided_at) VALUES (?, 'of a later version', 'link', 5)",
            &[id.into()],
        )
        .unwrap();
    assert_eq!(store.decisions(id).unwrap().len(), 2, "what is not understood is left out");
    assert!(
        store.advance(id, State::DeclineSend, State::Declined, 6).unwrap()
            && store.forget(State::Declined, 9, Leaves::default()).unwrap() == 1
    );
    assert!(store.decisions(id).unwrap().is_empty());
}

fn a_silent_no_sends_no_mail_and_keeps_its_reason_to_the_room(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
    assert!(store.decline(id, Event::DeclinedSilently, Some("spam"), &Decider::Link, 2).unwrap());
    let declined = store.registration(id).unwrap().unwrap();
    assert_eq!((declined.state, declined.reason, declined.decided_at), (State::Declined, None, Some(2)));
    assert_eq!(store.decisions(id).unwrap().pop().and_then(|decided| decided.reason), Some("spam".into()));
}

fn who_withdraws_leaves_nothing_behind(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.confirm(id, None, Some("sealed"), 1).unwrap(), Confirmed::Yes);
    assert!(matches!(store.ask(id, "Who are you?", &Decider::Operator("anna".into()), 2).unwrap(), Asked::Yes(_)));
    assert!(store.withdraw(id, 3).unwrap() && !store.withdraw(id, 4).unwrap());
    assert!(!store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 5).unwrap(), "nobody can approve it any more");
    let left = store.registration(id).unwrap().unwrap();
    assert_eq!((left.state, left.email.as_str(), left.note.as_str(), left.password), (State::Withdrawn, "", "", None));
    assert!(store.questions(id).unwrap().is_empty() && due(&mut store, QUESTION, 9).is_empty());
    let next = accepted(&mut store, "max");
    assert_eq!(store.confirm(next, None, None, 6).unwrap(), Confirmed::Yes);
}

fn a_password_is_chosen_once_and_only_after_the_approval(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.confirm(id, None, None, 1).unwrap();
    assert!(!store.choose_password(id, "early", 1).unwrap());
    assert!(store.approve(id, Event::ApprovedToChoose, OperationMode::Synapse, &Decider::Link, 2).unwrap());
    store.note_choose_token(id, "the hash").unwrap();
    assert_eq!(store.registration_by_choose_token("the hash").unwrap().unwrap().id, id);
    assert!(store.lease(step(id, State::ChooseSend), "me", 3, 100).unwrap());
    assert!(store.settle(id, State::ChooseSend, "me", State::Choosing, 3).unwrap());
    assert!(store.choose_password(id, "sealed", 4).unwrap() && !store.choose_password(id, "again", 5).unwrap());
    let chosen = store.registration(id).unwrap().unwrap();
    assert_eq!((chosen.state, chosen.password.as_deref(), chosen.password_chosen), (State::Register, Some("sealed"), true));
}

fn an_expired_request_frees_its_name_and_forgets_the_person(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.lease(step(id, State::EmailSend), "me", 1000, 1100).unwrap());
    assert!(store.settle(id, State::EmailSend, "me", State::EmailVerify, 1010).unwrap());
    assert_eq!(store.expire(State::EmailVerify, State::Expired, 1010, 2000).unwrap(), 0);
    assert_eq!(store.expire(State::EmailVerify, State::Expired, 1011, 2000).unwrap(), 1);
    let expired = store.registration(id).unwrap().unwrap();
    assert_eq!((expired.state, expired.email.as_str(), expired.first_name.as_str()), (State::Expired, "", ""));
    accepted(&mut store, "max");
    assert_eq!(store.forget(State::Expired, 2001, Leaves::default()).unwrap(), 1);
    assert!(store.registration(id).unwrap().is_none());
}

fn the_mode_of_the_approval_is_remembered_with_it(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    for mode in OperationMode::ALL {
        let id = accepted(&mut store, mode.name());
        assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
        assert_eq!(store.registration(id).unwrap().unwrap().approved_mode, None);
        assert!(store.approve(id, Event::Approved, mode, &Decider::Link, 2).unwrap());
        assert!(!store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 3).unwrap());
        assert!(!store.decline(id, Event::Approved, None, &Decider::Link, 3).unwrap(), "a yes is no decline");
        assert_eq!(store.registration(id).unwrap().unwrap().approved_mode, Some(mode));
        store.execute("UPDATE registrations SET approved_mode = 'of a later version' WHERE id = ?", &[id.into()]).unwrap();
        let unreadable = store.registration(id).unwrap_err().to_string();
        assert!(unreadable.contains("approved_mode in row"), "{unreadable}");
    }
}

fn account_and_state_change_together_or_not_at_all(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.advance(id, State::EmailSend, State::AdminSend, 1).unwrap();
    store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 2).unwrap();
    let login = login("max");
    assert!(!store.settle_with_login(id, State::Register, "me", State::MailCredentials, &login).unwrap(), "without the lease");
    assert!(!store.login_exists("max").unwrap());
    assert!(store.lease(step(id, State::Register), "me", 3, 100).unwrap());
    assert!(store.settle_with_login(id, State::Register, "me", State::MailCredentials, &login).unwrap());
    assert!(store.login_exists("max").unwrap());
    let made = store.registration(id).unwrap().unwrap();
    assert_eq!((made.state, made.password), (State::MailCredentials, None));
}

fn a_reader_cannot_change_anything(engine: Engine) {
    let scratch = Scratch::on(engine);
    let id = accepted(&mut scratch.open(Access::Write), "max");
    let mut reader = scratch.open(Access::Read);
    assert!(reader.advance(id, State::EmailSend, State::AdminSend, 1).is_err());
    assert_eq!(reader.registration(id).unwrap().unwrap().state, State::EmailSend);
}

fn a_newer_database_is_refused_with_a_sentence(engine: Engine) {
    let scratch = Scratch::on(engine);
    scratch.open(Access::Write).execute("UPDATE schema_version SET version = 99", &[]).unwrap();
    let sentence = Store::open(&scratch.url(), Access::Write).err().unwrap().to_string();
    assert!(sentence.contains("99") && sentence.contains("newer version"), "{sentence}");
}

/// If a `CREATE TABLE` cannot be undone, a program may have died halfway, or another node of a cluster may be upgrading.
#[test]
fn tables_that_were_made_in_part_are_completed() {
    let scratch = Scratch::on(Engine::Mariadb);
    accepted(&mut scratch.open(Access::Write), "max");
    scratch.0.sql("UPDATE schema_version SET version = 0; DROP TABLE locks");
    let mut store = scratch.open(Access::Write);
    assert!(store.take_lock("cron", "a", 100, 200).unwrap());
    assert_eq!(store.count(State::EmailSend).unwrap(), 1);
}

#[test]
fn the_database_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::on(Engine::Sqlite);
    let _store = scratch.open(Access::Write);
    let mode = std::fs::metadata(scratch.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn a_lock_is_one_holders_until_it_ends(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    assert!(store.take_lock("cron", "a", 100, 200).unwrap());
    assert!(!store.take_lock("cron", "b", 150, 300).unwrap());
    assert!(store.take_lock("cron", "b", 200, 300).unwrap(), "the holder died");
    store.release_lock("cron", "a").unwrap();
    assert!(!store.take_lock("cron", "c", 250, 400).unwrap());
    store.release_lock("cron", "b").unwrap();
    assert!(store.take_lock("cron", "c", 250, 400).unwrap());
}

fn sixteen_programs_that_find_no_database_all_get_one(engine: Engine) {
    for _ in 0..10 {
        let scratch = Scratch::on(engine);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| scratch.open(Access::Write));
            }
        });
    }
}

#[test]
fn looking_makes_no_database() {
    let scratch = Scratch::on(Engine::Sqlite);
    let path = scratch.path();
    assert!(matches!(Store::open(&DatabaseUrl::Sqlite(path.clone()), Access::Read), Err(Error::Unavailable(_))));
    assert!(!path.exists());
}

#[test]
fn a_restored_database_is_noticed_by_who_had_the_old_one_open() {
    let scratch = Scratch::on(Engine::Sqlite);
    let store = scratch.open(Access::Write);
    assert!(store.is_reusable());
    let path = scratch.path();
    std::fs::copy(&path, path.with_extension("backup")).unwrap();
    std::fs::rename(path.with_extension("backup"), &path).unwrap();
    assert!(!store.is_reusable());
}

fn only_a_taken_name_is_a_conflict(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let missing = store.execute("INSERT INTO locks (name, holder, held_until) VALUES ('x', NULL, 1)", &[]);
    assert!(matches!(missing, Err(Error::Unfit(_))), "{missing:?}");
}

#[test]
fn what_is_wiped_is_not_in_the_file_any_more() {
    let scratch = Scratch::on(Engine::Sqlite);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.execute("UPDATE registrations SET password = 'clear-text-to-be-wiped', note = 'a note to be forgotten'", &[]).unwrap();
    store.advance(id, State::EmailSend, State::AdminSend, 1).unwrap();
    store.decline(id, Event::Declined, None, &Decider::Link, 2).unwrap();
    store.advance(id, State::DeclineSend, State::Declined, 3).unwrap();
    store.forget(State::Declined, 100, Leaves::default()).unwrap();
    store.tidy().unwrap();
    for file in std::fs::read_dir(scratch.path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for trace in ["clear-text-to-be-wiped", "a note to be forgotten"] {
            assert!(!bytes.windows(trace.len()).any(|window| window == trace.as_bytes()), "{trace}");
        }
    }
}

fn a_password_is_kept_no_longer_than_until_the_account_is_there(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    for (username, end) in [("max", State::MailCredentials), ("eve", State::Done), ("ada", State::DeclineSend)] {
        let id = accepted(&mut store, username);
        assert_eq!(store.confirm(id, None, Some("sealed"), 1).unwrap(), Confirmed::Yes);
        store.advance(id, State::AdminSend, State::Register, 1).unwrap();
        assert!(store.registration(id).unwrap().unwrap().password.is_some());
        store.advance(id, State::Register, end, 2).unwrap();
        assert!(store.registration(id).unwrap().unwrap().password.is_none(), "{end:?}");
    }
}

fn only_who_confirms_first_chooses_the_password(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    // As an older version stored what a stranger had typed in the form.
    for (username, chosen) in [("max", None), ("eve", Some("sealed"))] {
        let id = accepted(&mut store, username);
        store.execute("UPDATE registrations SET password = 'typed', password_chosen = 1 WHERE id = ?", &[id.into()]).unwrap();
        assert_eq!(store.confirm(id, None, chosen, 2).unwrap(), Confirmed::Yes);
        assert_eq!(store.confirm(id, None, Some("another"), 3).unwrap(), Confirmed::NotAwaited);
        let kept = store.registration(id).unwrap().unwrap();
        assert_eq!((kept.state, kept.password.as_deref(), kept.password_chosen), (State::AdminSend, chosen, chosen.is_some()));
    }
}

fn passwords_from_the_form_of_older_versions_are_forgotten_unless_an_account_may_have_them(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let ids = ["max", "eve", "ada"].map(|username| accepted(&mut store, username));
    store.execute("UPDATE registrations SET password = 'typed', password_chosen = 1", &[]).unwrap();
    store.execute("UPDATE registrations SET state = 6 WHERE id = ?", &[ids[1].into()]).unwrap();
    store.execute("UPDATE registrations SET state = 7, account_tried_at = 5 WHERE id = ?", &[ids[2].into()]).unwrap();
    let step = match engine {
        Engine::Sqlite => include_str!("schema/sqlite/0004_typed_passwords.sql"),
        Engine::Postgres => include_str!("schema/postgres/0004_typed_passwords.sql"),
        Engine::Mariadb => include_str!("schema/mysql/0004_typed_passwords.sql"),
    };
    let mut kept = || {
        store.execute(step.trim().trim_end_matches(';'), &[]).unwrap();
        let rows = ids.map(|id| store.registration(id).unwrap().unwrap());
        rows.map(|row| (row.password.is_some(), row.password_chosen))
    };
    assert_eq!(kept(), [(false, false), (false, false), (true, true)]);
    // In local mode only the account in Synapse was asked for, and that has another password.
    scratch.open(Access::Write).execute("UPDATE registrations SET password = '$argon2id$' WHERE id = ?", &[ids[2].into()]).unwrap();
    assert_eq!(kept(), [(false, false); 3]);
}

/// A mail can take longer than a connection lives. What was done must still be recorded, or it would be done again.
fn a_connection_that_died_during_a_long_step_is_made_anew(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.lease(step(id, State::EmailSend), "me", 1000, 1600).unwrap());
    scratch.end_connections();
    store.distrust_connection();
    assert!(store.settle(id, State::EmailSend, "me", State::EmailVerify, 1100).unwrap());
}

fn guesses_are_counted_and_forgotten(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Hasty);
    for now in [1000, 1001, 1002] {
        store.note_wrong_guess("a", "n", 100, now).unwrap();
    }
    assert_eq!((store.wrong_guesses("a", "n", 100, 1002).unwrap(), store.wrong_guesses("a", "m", 100, 1002).unwrap()), (3, 0));
    assert_eq!(store.wrong_guesses("a", "n", 1001, 2000).unwrap(), 0, "they began too long ago");
    store.note_wrong_guess("a", "n", 1001, 2000).unwrap();
    assert_eq!(store.wrong_guesses("a", "n", 1001, 2000).unwrap(), 1, "counted anew");
    assert_eq!(store.wrong_guesses("a", "n", 1001, 1500).unwrap(), 0, "the clock was wrong when they were counted");
    assert_eq!(store.forget_old_guesses(2001, 3000).unwrap(), 1);
}

fn a_few_networks_of_an_account_are_remembered_for_a_while(engine: Engine) {
    const DAY: i64 = 86_400;
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    store.import_login(&login("max")).unwrap();
    let id = store.login("max").unwrap().unwrap().id;
    for number in 0..40 {
        let network = format!("network {number}");
        assert!(!store.is_familiar_network(id, &network).unwrap());
        store.note_familiar_network(id, &network, DAY + number).unwrap();
        store.note_familiar_network(id, &network, DAY + number + 1).unwrap();
        assert!(store.is_familiar_network(id, &network).unwrap() && !store.is_familiar_network(0, &network).unwrap());
    }
    assert!(!store.is_familiar_network(id, "network 7").unwrap() && store.is_familiar_network(id, "network 8").unwrap(), "the last 32");
    store.note_familiar_network(id, "network 8", 50 * DAY).unwrap();
    assert_eq!(store.forget_old_networks(92 * DAY).unwrap(), 31, "all but the one that was seen again");
    store.note_familiar_network(id, "under a wrong clock", 500 * DAY).unwrap();
    assert_eq!(store.forget_old_networks(92 * DAY).unwrap(), 1);
}

fn nobody_gets_more_than_three_mails_that_he_did_not_ask_for(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let ids: Vec<i64> = ["ada", "bob", "eve"].map(|name| accepted(&mut store, name)).into();
    assert!(matches!(store.file(&request("max", "fourth"), &THREE).unwrap(), Filed::AddressBusy));
    assert!(store.advance(ids[0], State::EmailSend, State::AdminSend, 1).unwrap());
    assert!(matches!(store.file(&request("max", "fourth"), &THREE).unwrap(), Filed::Accepted(_)), "one was confirmed");
}

fn each_of_many_addresses_is_found_as_if_it_were_asked_alone(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let account = |localpart: &str, email: &str| NewLogin { email_folded: email.into(), ..login(localpart) };
    let odd = "o'neil{$1}?%_`~+@xn--bcher-kva.example";
    let of_others = (0..3000).map(|number| account(&format!("user{number}"), &format!("user{number}@example.org")));
    let shared = ["zoe", "anna", "max"].map(|localpart| account(localpart, "shared@example.org"));
    store.import_logins(shared.into_iter().chain([account("odd", odd)]).chain(of_others)).unwrap();
    store.execute("UPDATE logins SET active = 0 WHERE localpart IN ('zoe', 'user7')", &[]).unwrap();
    // More than one statement, with addresses of nobody before, between and after the others.
    let mut asked: Vec<String> = (0..6000).map(|number| format!("user{number}@example.org")).collect();
    asked.extend(
        ["a@a.example", odd, "shared@example.org", "SHARED@example.org", "shared@example.org.example", "\u{10ffff}"].map(String::from),
    );
    asked.sort();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let mut found: Vec<(String, String)> = Vec::new();
    store.localparts_of_addresses(&asked, |address, localpart| found.push((address.into(), localpart.into()))).unwrap();
    let alone = asked.iter().filter_map(|address| Some((address.to_string(), store.localpart_of_address(address).unwrap()?)));
    assert_eq!(found, alone.collect::<Vec<_>>());
    assert_eq!(found.len(), 2999 + 2);
    assert!(found.contains(&("shared@example.org".into(), "anna".into())), "the oldest that is active");
    store.localparts_of_addresses(&["nobody@example.org"], |address, _| panic!("{address}")).unwrap();
}

on_every_database! {
    a_few_networks_of_an_account_are_remembered_for_a_while,
    a_form_sent_twice_is_one_request,
    a_form_sent_many_times_at_once_is_one_request,
    a_username_goes_to_the_first_who_confirms_even_if_many_do_at_once,
    a_decision_counts_in_the_moment_in_which_the_message_is_recorded_as_sent,
    who_lost_the_name_confirms_with_another,
    a_name_that_an_earlier_version_reserved_stays_so,
    who_withdraws_leaves_nothing_behind,
    a_password_is_chosen_once_and_only_after_the_approval,
    the_mode_of_the_approval_is_remembered_with_it,
    a_declined_name_can_be_claimed_again,
    each_of_many_addresses_is_found_as_if_it_were_asked_alone,
    each_decision_and_question_says_who_made_it_and_in_which_way,
    a_silent_no_sends_no_mail_and_keeps_its_reason_to_the_room,
    an_expired_request_frees_its_name_and_forgets_the_person,
    account_and_state_change_together_or_not_at_all,
    a_reader_cannot_change_anything,
    a_newer_database_is_refused_with_a_sentence,
    a_lock_is_one_holders_until_it_ends,
    sixteen_programs_that_find_no_database_all_get_one,
    only_a_taken_name_is_a_conflict,
    a_password_is_kept_no_longer_than_until_the_account_is_there,
    only_who_confirms_first_chooses_the_password,
    passwords_from_the_form_of_older_versions_are_forgotten_unless_an_account_may_have_them,
    a_connection_that_died_during_a_long_step_is_made_anew,
    guesses_are_counted_and_forgotten,
    nobody_gets_more_than_three_mails_that_he_did_not_ask_for,
}
