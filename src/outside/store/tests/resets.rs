//! Forgotten passwords, with every kind of database.

use super::*;

const NOW: i64 = 1_800_000_000;

fn reset(submission: &str, asked_for: &str) -> NewReset {
    NewReset {
        submission: submission.into(),
        asked_for: asked_for.into(),
        seed: crate::domain::token::new_seed(),
        language: Language::German,
        asked_at: NOW,
    }
}

fn with_links(scratch: &Scratch, hashes: &[&str]) -> (Store, i64) {
    let mut store = scratch.open(Access::Write);
    store.import_login(&login("max")).unwrap();
    let login_id = store.login("max").unwrap().unwrap().id;
    let links: Vec<ResetLink> = hashes.iter().map(|hash| ResetLink { token_hash: (*hash).into(), login_id }).collect();
    store.open_reset_links(&links, NOW).unwrap();
    (store, login_id)
}

fn of_max(per_day: u64) -> Allowance<'static> {
    Allowance { kind: AllowanceKind::ResetsAskedFor, subject: "max", per_day }
}

fn a_form_for_a_forgotten_password_counts_once(engine: Engine) {
    let scratch = Scratch::on(engine);
    scratch.open(Access::Write);
    let kept: usize = std::thread::scope(|scope| {
        let ask = || {
            let mut store = scratch.open(Access::Write);
            usize::from(store.ask_reset(&reset("form", "max"), &[of_max(9)]).unwrap() == ResetAsked::Kept)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(kept, 1);
    let mut store = scratch.open(Access::Write);
    let more: Vec<ResetAsked> = (0..9).map(|number| store.ask_reset(&reset(&number.to_string(), "max"), &[of_max(9)]).unwrap()).collect();
    assert!(more[..8].iter().all(|asked| *asked == ResetAsked::Kept), "the copies used up nothing: {more:?}");
    assert!(matches!(more[8], ResetAsked::UsedUp(AllowanceKind::ResetsAskedFor, seconds) if seconds > 0));
    assert_eq!(store.ask_reset(&reset("form", "max"), &[of_max(9)]).unwrap(), ResetAsked::CameBefore, "however little is left");
}

fn a_request_for_a_password_is_owed_until_it_is_settled(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    store.ask_reset(&reset("form", "max@example.org"), &[]).unwrap();
    let ids = due(&mut store, Owed::ResetMail, NOW);
    let row = OwedRow { owed: Owed::ResetMail, id: ids[0] };
    failed(&mut store, row, &AWAY, NOW, NOW + 60);
    assert_eq!(due(&mut store, Owed::ResetMail, NOW + 59), [] as [i64; 0]);
    let failing = store.failing().unwrap();
    assert_eq!((failing.len(), failing[0].subject, failing[0].registration), (1, "password_reset", row.id));
    assert!(store.lease(row, "me", NOW + 60, NOW + 100).unwrap());
    let found = store.reset(row.id).unwrap().unwrap();
    assert_eq!((found.asked_for.as_str(), found.language), ("max@example.org", Language::German));
    assert!(!store.settle_reset(row.id, "somebody else").unwrap() && store.settle_reset(row.id, "me").unwrap());
    assert!(store.reset(row.id).unwrap().is_none() && due(&mut store, Owed::ResetMail, NOW + 60).is_empty());
    assert!(store.failing().unwrap().is_empty());
    store.forget_old_resets(NOW, NOW).unwrap();
    assert_eq!(store.ask_reset(&reset("form", "max"), &[]).unwrap(), ResetAsked::CameBefore);
    store.forget_old_resets(NOW + 1, NOW).unwrap();
    assert_eq!(store.ask_reset(&reset("form", "max"), &[]).unwrap(), ResetAsked::Kept);
}

fn of_many_who_use_a_link_at_once_one_sets_the_password(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, _) = with_links(&scratch, &["one", "two"]);
    let set: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (scratch, link) = (&scratch, if number % 2 == 0 { "one" } else { "two" });
                scope.spawn(move || {
                    let mut store = scratch.open(Access::Write);
                    store.set_password_by_link(link, &format!("$hash {number}"), NOW + 1).unwrap().is_some()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(set.iter().filter(|set| **set).count(), 1, "{set:?}");
    let winner = set.iter().position(|set| *set).unwrap();
    let changed = store.login("max").unwrap().unwrap();
    assert_eq!((changed.password_hash, changed.initial_password_until), (format!("$hash {winner}"), None));
}

fn a_link_for_a_password_ends_after_an_hour_also_under_a_wrong_clock(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, _) = with_links(&scratch, &["one"]);
    assert!(store.login_of_reset_link("one", NOW + LINK_SECONDS - 1).unwrap().is_some());
    for late in [NOW + LINK_SECONDS, NOW - 86_400] {
        assert!(store.login_of_reset_link("one", late).unwrap().is_none());
        assert!(store.set_password_by_link("one", "$new", late).unwrap().is_none());
    }
    store.forget_old_resets(0, NOW + LINK_SECONDS - 1).unwrap();
    assert!(store.login_of_reset_link("one", NOW).unwrap().is_some());
    store.forget_old_resets(0, NOW + LINK_SECONDS).unwrap();
    assert!(store.login_of_reset_link("one", NOW).unwrap().is_none());
}

fn a_repeated_mail_gives_the_same_end_of_its_links_until_half_of_their_time_is_over(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, login_id) = with_links(&scratch, &["one"]);
    let links: Vec<ResetLink> = ["one", "two"].map(|hash| ResetLink { token_hash: hash.into(), login_id }).into();
    for (repeated, end) in [(60, 0), (LINK_SECONDS / 2, 0), (LINK_SECONDS / 2 + 1, LINK_SECONDS / 2 + 1), (-86_400, -86_400)] {
        assert_eq!(store.open_reset_links(&links, NOW + repeated).unwrap(), NOW + end + LINK_SECONDS, "repeated after {repeated} s");
        assert!(store.login_of_reset_link("two", NOW + end + LINK_SECONDS - 1).unwrap().is_some());
        assert!(store.login_of_reset_link("one", NOW + end + LINK_SECONDS).unwrap().is_none());
    }
}

fn a_repeated_mail_makes_no_link_good_again_that_was_used(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, id) = with_links(&scratch, &["one"]);
    let asked = |asked_at| Reset { seed: "s".into(), asked_for: "max".into(), language: Language::German, asked_at };
    assert_eq!(store.accounts_asked_for(&asked(NOW), NOW + 1).unwrap()[0].id, id);
    assert!(store.set_password_by_link("one", "$new", NOW + 5).unwrap().is_some());
    assert!(store.accounts_asked_for(&asked(NOW), NOW + 9).unwrap().is_empty());
    assert_eq!(store.accounts_asked_for(&asked(NOW + 6), NOW + 9).unwrap().len(), 1, "asked for once more");
    assert_eq!(store.accounts_asked_for(&asked(NOW), NOW - 86_400).unwrap().len(), 1, "a change under a clock that ran ahead stops nobody");
}

fn a_link_that_was_used_is_known_for_an_hour_and_good_for_nothing(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, id) = with_links(&scratch, &["one", "two"]);
    assert!(store.login_of_used_link("one", NOW).unwrap().is_none(), "it was not used");
    assert!(store.set_password_by_link("one", "$new", NOW + 1).unwrap().is_some());
    assert_eq!(store.login_of_used_link("one", NOW + 1).unwrap().unwrap().id, id);
    assert!(store.login_of_used_link("two", NOW + 1).unwrap().is_none(), "it was not used, and is over");
    assert!(store.login_of_reset_link("one", NOW + 1).unwrap().is_none());
    assert!(store.set_password_by_link("one", "$other", NOW + 2).unwrap().is_none());
    assert_eq!(store.login("max").unwrap().unwrap().password_hash, "$new");
    store.forget_old_resets(0, NOW + 3600).unwrap();
    assert!(store.login_of_used_link("one", NOW + 3600).unwrap().is_some());
    assert!(store.login_of_used_link("one", NOW + 3601).unwrap().is_none());
    store.forget_old_resets(0, NOW + 3601).unwrap();
    assert!(store.login_of_used_link("one", NOW).unwrap().is_none(), "cron has forgotten it");
}

fn a_changed_password_ends_the_links_that_were_mailed(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, id) = with_links(&scratch, &["one", "two"]);
    let hash = store.login("max").unwrap().unwrap().password_hash;
    assert!(!store.change_password(id, "$another", "$new", NOW + 1).unwrap());
    assert!(store.login_of_reset_link("one", NOW + 1).unwrap().is_some(), "nothing was changed");
    assert!(store.change_password(id, &hash, "$new", NOW + 1).unwrap());
    for link in ["one", "two"] {
        assert!(store.set_password_by_link(link, "$stolen", NOW + 2).unwrap().is_none());
    }
}

fn a_request_for_a_password_from_a_clock_that_ran_ahead_is_mailed_at_once_and_a_meant_wait_is_kept(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let in_half_a_day = NewReset { asked_at: NOW + 43_200, ..reset("form", "max") };
    assert_eq!(store.ask_reset(&in_half_a_day, &[]).unwrap(), ResetAsked::Kept);
    assert_eq!(store.bring_back(NOW).unwrap(), 1);
    let ids = due(&mut store, Owed::ResetMail, NOW);
    assert_eq!(ids.len(), 1);
    failed(&mut store, OwedRow { owed: Owed::ResetMail, id: ids[0] }, &AWAY, NOW, NOW + crate::domain::back_off::LONGEST);
    assert_eq!(store.bring_back(NOW).unwrap(), 0);
}

on_every_database! {
    a_request_for_a_password_from_a_clock_that_ran_ahead_is_mailed_at_once_and_a_meant_wait_is_kept,
    a_repeated_mail_gives_the_same_end_of_its_links_until_half_of_their_time_is_over,
    a_repeated_mail_makes_no_link_good_again_that_was_used,
    a_link_that_was_used_is_known_for_an_hour_and_good_for_nothing,
    a_changed_password_ends_the_links_that_were_mailed,
    a_form_for_a_forgotten_password_counts_once,
    a_request_for_a_password_is_owed_until_it_is_settled,
    of_many_who_use_a_link_at_once_one_sets_the_password,
    a_link_for_a_password_ends_after_an_hour_also_under_a_wrong_clock,
}
