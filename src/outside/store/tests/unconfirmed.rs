//! Mails that are wanted again and addresses that are corrected, with every kind of database.

use super::*;
use crate::domain::number::Number;

const NO_LIMITS: FilingLimits = FilingLimits { unconfirmed_per_address: 3, network: None, address: None, open: 0, per_day: 0 };

fn correction(name: &str) -> Correction {
    let seed = crate::domain::token::new_seed();
    Correction {
        email: format!("{name}@example.org"),
        email_folded: format!("{name}@example.org"),
        verify_token_hash: format!("verify {seed}"),
        admin_token_hash: format!("admin {seed}"),
        seed,
    }
}

fn a_mail_in_flight_to_a_corrected_address_moves_nothing(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    let before = store.registration(id).unwrap().unwrap();
    assert!(store.lease(step(id, State::EmailSend), "me", 1000, 1100).unwrap());
    let Again::Owed(new) = store.correct_address(id, 0, &correction("moritz"), &NO_LIMITS, 1050).unwrap() else { panic!() };
    assert!(!store.settle(id, State::EmailSend, "me", State::EmailVerify, 1060).unwrap(), "the old mail arrived meanwhile");
    assert_eq!(store.confirm(id, None, None, 1060).unwrap(), Confirmed::NotAwaited, "and its link was just opened");
    assert!(store.registration_by_verify_token(&before.verify_token_hash).unwrap().is_none());
    let after = store.registration(new).unwrap().unwrap();
    assert_eq!((after.state, after.email.as_str(), after.mail_round), (State::EmailSend, "moritz@example.org", 1));
    assert_eq!((after.username, after.note, after.first_name), (before.username, before.note, before.first_name));
    assert!(store.lease(step(new, State::EmailSend), "me", 1060, 1100).unwrap(), "the new mail can go out at once");
}

fn of_many_corrections_and_clicks_at_once_each_round_counts_one(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.lease(step(id, State::EmailSend), "me", 1000, 1100).unwrap());
    assert!(store.settle(id, State::EmailSend, "me", State::EmailVerify, 1010).unwrap());
    let owed: usize = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let mut store = scratch.open(Access::Write);
            let again = match number % 2 {
                0 => store.mail_again(id, 0, &NO_LIMITS, 1020).unwrap(),
                _ => store.correct_address(id, 0, &correction(&format!("name{number}")), &NO_LIMITS, 1020).unwrap(),
            };
            usize::from(matches!(again, Again::Owed(_)))
        };
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || ask(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(owed, 1);
    let left = store.registration_of("max");
    assert_eq!((left.state, left.mail_round), (State::EmailSend, 1));
}

fn a_confirmation_at_the_moment_of_a_correction_is_kept_or_came_too_late(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, mut other) = (scratch.open(Access::Write), scratch.open(Access::Write));
    for round in 0..60 {
        let name = format!("name{round}");
        let id = accepted(&mut store, &name);
        assert!(store.advance(id, State::EmailSend, State::EmailVerify, 1000).unwrap());
        let both = Barrier::new(2);
        let (confirmed, again) = std::thread::scope(|scope| {
            let confirming = scope.spawn(|| {
                both.wait();
                other.confirm(id, None, None, 1010).unwrap()
            });
            both.wait();
            let again = store.correct_address(id, 0, &correction(&name), &NO_LIMITS, 1010).unwrap();
            (confirming.join().unwrap(), again)
        });
        let left = store.registration_of(&name);
        match confirmed {
            Confirmed::Yes => {
                assert!(matches!(again, Again::Over | Again::NotAwaited), "round {round}: {again:?}");
                assert_eq!((left.id, left.state, left.email.as_str()), (id, State::AdminSend, "Max@example.org"));
            }
            _ => assert_eq!((again, left.state), (Again::Owed(left.id), State::EmailSend), "round {round}: {confirmed:?}"),
        }
    }
}

fn who_wants_another_mail_when_the_time_is_up_has_all_the_time_anew(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.advance(id, State::EmailSend, State::EmailVerify, 1000).unwrap());
    // Cron has read that the time of this request is up.
    assert_eq!(store.mail_again(id, 0, &NO_LIMITS, 2000).unwrap(), Again::Owed(id));
    assert!(store.advance(id, State::EmailSend, State::EmailVerify, 2001).unwrap());
    assert!(!store.expire_one(id, State::EmailVerify, State::Expired, 1500, 2002).unwrap());
    assert_eq!(store.registration(id).unwrap().unwrap().email, "Max@example.org");
    assert!(!store.expire_one(id, State::EmailVerify, State::Expired, 2001, 2002).unwrap());
    assert!(store.expire_one(id, State::EmailVerify, State::Expired, 2002, 2002).unwrap());
}

fn who_tries_addresses_by_corrections_is_soon_refused_all_of_them(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    for name in ["ada", "bob", "eve"] {
        accepted(&mut store, name);
    }
    let elsewhere = NewRegistration { email_folded: "moritz@example.org".into(), ..request("moritz", "form") };
    let Filed::Accepted(id) = store.file(&elsewhere, &NO_LIMITS).unwrap() else { panic!() };
    let address = Allowance { kind: AllowanceKind::RequestsOfAddress, subject: "max", per_day: 5 };
    let limits = FilingLimits { address: Some(address), ..NO_LIMITS };
    for number in 0..5 {
        assert_eq!(store.correct_address(id, 0, &correction("max"), &limits, 1000).unwrap(), Again::AddressBusy, "{number}");
    }
    assert_eq!(
        store.correct_address(id, 0, &correction("max"), &limits, 1000).unwrap(),
        Again::UsedUp(AllowanceKind::RequestsOfAddress, 17_280)
    );
    let unchanged = store.registration(id).unwrap().unwrap();
    assert_eq!((unchanged.email_folded.as_str(), unchanged.mail_round), ("moritz@example.org", 0));
}

fn one_request_gets_few_mails_and_corrections_and_none_after_the_confirmation(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let mut id = accepted(&mut store, "max");
    assert_eq!(store.mail_again(id, 0, &NO_LIMITS, 1000).unwrap(), Again::Owed(id), "the one that is not sent yet, now");
    for round in 0..3 {
        assert_eq!(store.correct_address(id, round + 1, &correction("early"), &NO_LIMITS, 1000).unwrap(), Again::Over);
        let Again::Owed(new) = store.correct_address(id, round, &correction(&format!("n{round}")), &NO_LIMITS, 1000).unwrap() else {
            panic!()
        };
        id = new;
    }
    assert_eq!(store.correct_address(id, 3, &correction("fourth"), &NO_LIMITS, 1000).unwrap(), Again::Enough);
    for round in 3..6 {
        store.advance(id, State::EmailSend, State::EmailVerify, 1000).unwrap();
        assert_eq!(store.mail_again(id, round, &NO_LIMITS, 2000 + round).unwrap(), Again::Owed(id));
        let waits = store.registration(id).unwrap().unwrap();
        assert_eq!((waits.state, waits.mail_round, waits.state_since), (State::EmailSend, round + 1, 2000 + round));
    }
    store.advance(id, State::EmailSend, State::EmailVerify, 1000).unwrap();
    assert_eq!(store.mail_again(id, 6, &NO_LIMITS, 3000).unwrap(), Again::Enough);
    assert_eq!(store.confirm(id, None, None, 3000).unwrap(), Confirmed::Yes);
    assert_eq!(store.mail_again(id, 6, &NO_LIMITS, 3000).unwrap(), Again::NotAwaited);
    assert_eq!(store.correct_address(id, 6, &correction("late"), &NO_LIMITS, 3000).unwrap(), Again::NotAwaited);
}

fn who_confirmed_one_of_two_equal_requests_finds_it_by_either(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let (first, second) = (accepted(&mut store, "max"), accepted(&mut store, "max"));
    let second_row = store.registration(second).unwrap().unwrap();
    assert!(store.confirmed_twin(&second_row).unwrap().is_none());
    assert_eq!(store.confirm(first, None, None, 1).unwrap(), Confirmed::Yes);
    assert_eq!(store.confirmed_twin(&second_row).unwrap().map(|twin| twin.id), Some(first));
    let of_another_address = Registration { email_folded: "eve@example.org".into(), ..second_row };
    assert!(store.confirmed_twin(&of_another_address).unwrap().is_none());
}

fn the_number_of_a_forgotten_request_never_becomes_anothers(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let gone = accepted(&mut store, "max");
    assert!(store.withdraw(gone, 1000).unwrap() && store.forget_now(gone, Leaves::default()).unwrap());
    let next = accepted(&mut store, "moritz");
    assert!(next > gone, "{next} after {gone}");
    assert!(store.withdraw(next, 1000).unwrap() && store.forget_now(next, Leaves::default()).unwrap());
    drop(store);
    let mut store = scratch.open(Access::Write);
    assert!(accepted(&mut store, "ada") > next);
    assert!(store.registration_by_number(Number(gone)).unwrap().is_none());
}

impl Store {
    /// The only request for a username.
    fn registration_of(&mut self, username: &str) -> Registration {
        let id = self.first("SELECT id FROM registrations WHERE username = ?", &[username.into()], |row| row.integer()).unwrap().unwrap();
        self.registration(id).unwrap().unwrap()
    }
}

on_every_database! {
    a_mail_in_flight_to_a_corrected_address_moves_nothing,
    of_many_corrections_and_clicks_at_once_each_round_counts_one,
    a_confirmation_at_the_moment_of_a_correction_is_kept_or_came_too_late,
    who_wants_another_mail_when_the_time_is_up_has_all_the_time_anew,
    who_tries_addresses_by_corrections_is_soon_refused_all_of_them,
    one_request_gets_few_mails_and_corrections_and_none_after_the_confirmation,
    who_confirmed_one_of_two_equal_requests_finds_it_by_either,
    the_number_of_a_forgotten_request_never_becomes_anothers,
}
