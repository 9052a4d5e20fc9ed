//! What strangers may use up, with every kind of database.

use super::*;

const DAY: i64 = 86_400;

fn of_network(subject: &str, per_day: u64) -> Allowance<'_> {
    Allowance { kind: AllowanceKind::RequestsOfNetwork, subject, per_day }
}

/// Takes one. Returns `None`, or the seconds until one is regained.
fn used(store: &mut Store, allowance: Allowance, now: i64) -> Option<i64> {
    store.use_allowances(&[allowance], now).unwrap().map(|(_, seconds)| seconds)
}

fn an_allowance_comes_back_bit_by_bit(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let (allowance, now) = (of_network("here", 24), 1_000_000);
    for number in 0..24 {
        assert_eq!(used(&mut store, allowance, now), None, "{number}");
    }
    assert_eq!(used(&mut store, allowance, now), Some(3600), "one comes back in an hour");
    assert_eq!(used(&mut store, allowance, now + 3599), Some(1));
    assert_eq!(used(&mut store, allowance, now + 3600), None);
    assert_eq!(used(&mut store, allowance, now + 3600), Some(3600));
    assert_eq!(used(&mut store, of_network("elsewhere", 1), now), None, "others have their own");
    assert_eq!(used(&mut store, Allowance { kind: AllowanceKind::MailsToAddress, ..allowance }, now), None);
    assert_eq!(used(&mut store, of_network("here", 0), now), None, "0 is no limit");
}

fn an_allowance_is_exact_however_many_are_at_it(engine: Engine) {
    let scratch = Scratch::on(engine);
    scratch.open(Access::Write);
    let taken: usize = std::thread::scope(|scope| {
        let take = || {
            let mut store = scratch.open(Access::Write);
            (0..10).filter(|_| used(&mut store, of_network("here", 30), 1000).is_none()).count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 30);
}

fn a_mail_that_may_not_be_sent_uses_up_nothing(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let to_max = Allowance { kind: AllowanceKind::MailsToAddress, subject: "max", per_day: 2 };
    let to_all = Allowance { kind: AllowanceKind::ConfirmMails, subject: "", per_day: 1 };
    assert_eq!(store.use_allowances(&[to_max, to_all], 1000).unwrap(), None);
    for _ in 0..3 {
        assert_eq!(store.use_allowances(&[to_max, to_all], 1000).unwrap(), Some((AllowanceKind::ConfirmMails, DAY)));
    }
    assert_eq!(used(&mut store, to_max, 1000), None, "the address has its second");
    assert_eq!(used(&mut store, to_max, 1000), Some(DAY / 2));
}

fn a_mail_that_did_not_go_is_given_back(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let to_max = Allowance { kind: AllowanceKind::MailsToAddress, subject: "max", per_day: 2 };
    let no_limit = Allowance { kind: AllowanceKind::ConfirmMails, subject: "", per_day: 0 };
    for now in 1000..1050 {
        assert_eq!(store.use_allowances(&[to_max, no_limit], now).unwrap(), None);
        store.give_back_allowances(&[to_max, no_limit], now).unwrap();
    }
    assert_eq!((used(&mut store, to_max, 1050), used(&mut store, to_max, 1050)), (None, None));
    assert!(used(&mut store, to_max, 1050).is_some());
    store.give_back_allowances(&[to_max], 1050 + 2 * DAY).unwrap();
    assert_eq!(used(&mut store, to_max, 1050 + 2 * DAY), None);
    assert_eq!(used(&mut store, to_max, 1050 + 2 * DAY), None);
    assert!(used(&mut store, to_max, 1050 + 2 * DAY).is_some(), "what came back by itself is not given twice");
}

fn a_network_that_is_used_up_leaves_no_row_for_each_address(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    for number in 0..5 {
        let subject = format!("address {number}");
        let limits = FilingLimits {
            network: Some(of_network("here", 1)),
            address: Some(Allowance { kind: AllowanceKind::RequestsOfAddress, subject: &subject, per_day: 5 }),
            unconfirmed_per_address: 3,
            ..FilingLimits::default()
        };
        let filed = store.file(&request(&format!("name{number}"), &format!("form {number}")), &limits).unwrap();
        assert_eq!(matches!(filed, Filed::Accepted(_)), number == 0, "{filed:?}");
        assert!(number == 0 || matches!(filed, Filed::UsedUp(AllowanceKind::RequestsOfNetwork, _)), "{filed:?}");
    }
    let rows = store.first("SELECT COUNT(*) FROM allowances WHERE kind = 'requests of address'", &[], |row| row.integer());
    assert_eq!(rows.unwrap(), Some(1));
}

fn a_wrong_clock_uses_up_nothing_for_long_and_cron_forgets_what_is_whole(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let allowance = of_network("here", 2);
    assert_eq!(used(&mut store, allowance, 1000 + 9 * DAY), None, "the clock was wrong");
    for expected in [None, None, Some(DAY / 2)] {
        assert_eq!(used(&mut store, allowance, 1000), expected);
    }
    assert_eq!(store.forget_whole_allowances(1000 + DAY, 1000 + DAY).unwrap(), 0);
    assert_eq!(store.forget_whole_allowances(1001 + DAY, 1001 + DAY).unwrap(), 1);
}

fn unconfirmed_requests_with_one_address_are_counted_exactly_at_the_same_moment(engine: Engine) {
    let scratch = Scratch::on(engine);
    scratch.open(Access::Write);
    let address = Allowance { kind: AllowanceKind::RequestsOfAddress, subject: "max", per_day: 100 };
    let limits = FilingLimits { address: Some(address), ..THREE };
    let accepted: usize = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let mut store = scratch.open(Access::Write);
            let filed = store.file(&request(&format!("max{number}"), &format!("form {number}")), &limits).unwrap();
            assert!(matches!(filed, Filed::Accepted(_) | Filed::AddressBusy), "{filed:?}");
            matches!(filed, Filed::Accepted(_))
        };
        let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || ask(number))).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(accepted, 3);
}

/// Whoever knows an address could otherwise find out the username that its request asks for: that one would not be refused.
fn who_tries_usernames_with_an_address_that_waits_is_soon_refused_all_of_them(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    for name in ["ada", "bob", "eve"] {
        accepted(&mut store, name);
    }
    for (subject, is_filed) in [("looked at", false), ("filed", true)] {
        let address = Allowance { kind: AllowanceKind::RequestsOfAddress, subject, per_day: 5 };
        let limits = FilingLimits { address: Some(address), ..THREE };
        let mut refused = |username: &str| match is_filed {
            true => store.file(&request(username, &format!("{subject} {username}")), &limits).unwrap(),
            false => store.refusal(&request(username, &format!("{subject} {username}")), &limits).unwrap().unwrap(),
        };
        for number in 0..5 {
            let busy = refused(&format!("max{number}"));
            assert!(matches!(busy, Filed::AddressBusy), "{subject}, {number}: {busy:?}");
        }
        for username in ["max6", "ada"] {
            let used_up = refused(username);
            assert!(matches!(used_up, Filed::UsedUp(AllowanceKind::RequestsOfAddress, 17_280)), "{subject}, {username}: {used_up:?}");
        }
    }
    let rows = store.first("SELECT COUNT(*) FROM registrations", &[], |row| row.integer());
    assert_eq!(rows.unwrap(), Some(3));
}

fn what_is_not_filed_uses_up_nothing(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let address = Allowance { kind: AllowanceKind::RequestsOfAddress, subject: "max", per_day: 1 };
    let limits = FilingLimits { network: Some(of_network("here", 2)), address: Some(address), ..THREE };
    assert!(matches!(store.file(&request("max", "first"), &limits).unwrap(), Filed::Accepted(_)));
    for form in ["second", "third", "fourth"] {
        let filed = store.file(&request("other", form), &limits).unwrap();
        assert!(matches!(filed, Filed::UsedUp(AllowanceKind::RequestsOfAddress, 86_400)), "{filed:?}");
    }
    let another = FilingLimits { address: None, ..limits };
    store.execute("UPDATE registrations SET claimed_username = 'max' WHERE username = 'max'", &[]).unwrap();
    assert!(matches!(store.file(&request("max", "fifth"), &another).unwrap(), Filed::NameTaken));
    assert!(matches!(store.file(&request("other", "sixth"), &another).unwrap(), Filed::Accepted(_)), "the network had one left");
    assert!(matches!(store.file(&request("third", "seventh"), &another).unwrap(), Filed::UsedUp(AllowanceKind::RequestsOfNetwork, 43_200)));
    assert!(matches!(store.file(&request("max", "first"), &limits).unwrap(), Filed::CameBefore(_)), "sent twice is answered twice");
}

fn the_form_closes_when_too_many_wait_or_came_today(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let two_open = FilingLimits { open: 2, ..THREE };
    let two_a_day = FilingLimits { per_day: 2, ..THREE };
    let first = accepted(&mut store, "ada");
    assert_eq!((store.closed(&two_open, 1000).unwrap(), store.closed(&two_a_day, 1000).unwrap()), (None, None));
    accepted(&mut store, "bob");
    assert_eq!(store.closed(&two_open, 1000).unwrap(), Some(Closed::TooManyOpen));
    assert_eq!(store.closed(&two_a_day, 1010).unwrap(), Some(Closed::TooManyToday(DAY - 10)));
    assert!(matches!(store.file(&request("eve", "form"), &two_open).unwrap(), Filed::Closed(Closed::TooManyOpen)));
    assert_eq!(store.closed(&two_a_day, 1000 + DAY).unwrap(), None, "a day later");
    assert!(store.advance(first, State::EmailSend, State::AdminSend, 1001).unwrap());
    assert!(store.decline(first, Event::Declined, None, &Decider::Link, 1002).unwrap());
    assert_eq!(store.closed(&two_open, 1000).unwrap(), None, "one was decided");
}

on_every_database! {
    an_allowance_comes_back_bit_by_bit,
    an_allowance_is_exact_however_many_are_at_it,
    a_mail_that_may_not_be_sent_uses_up_nothing,
    a_mail_that_did_not_go_is_given_back,
    a_network_that_is_used_up_leaves_no_row_for_each_address,
    a_wrong_clock_uses_up_nothing_for_long_and_cron_forgets_what_is_whole,
    unconfirmed_requests_with_one_address_are_counted_exactly_at_the_same_moment,
    who_tries_usernames_with_an_address_that_waits_is_soon_refused_all_of_them,
    what_is_not_filed_uses_up_nothing,
    the_form_closes_when_too_many_wait_or_came_today,
}
