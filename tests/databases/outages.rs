use crate::world::{Engine, Host, OwnServer, SiteBuilder, TempFolder};
use crate::{Story, ask_for_a_link, fresh, settled};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// The longest time for a request while the server hangs: the store's limit, and some time for the machine.
const BOUND: Duration = Duration::from_secs(15 + 4);

fn a_restart_between_two_requests_is_not_noticed(engine: Engine) {
    let mut own = OwnServer::start(engine);
    let story = settled(Story::in_database(own.database(), "local", Host::NginxFastCgi, |site| site));
    for end in [OwnServer::stop, OwnServer::kill] {
        // Reading and writing, each as the first request after the restart.
        let (ada, bob, eve) = (fresh("ada"), fresh("bob"), fresh("eve"));
        let restart = |own: &mut OwnServer| {
            end(own);
            own.start_again();
        };
        for name in [&ada, &bob, &eve] {
            story.ask(name);
        }
        restart(&mut own);
        story.ask(&fresh("max"));
        story.confirm(&ada);
        let page = story.browser.get(&story.verify_mail(&bob).link());
        restart(&mut own);
        assert_eq!(story.browser.submit(&page.form()).status, 200, "{}", story.web.log());
        story.confirm(&eve);
        let page = story.browser.get(&story.room_message(&ada).link());
        restart(&mut own);
        story.browser.submit(&crate::decision_form(&page, "approve", ""));
        assert_eq!([&ada, &bob, &eve].map(|name| story.state(name)), [100, 6, 6], "{}", story.web.log());
    }
}

fn a_server_that_hangs_holds_no_request_longer_than_the_bound(engine: Engine) {
    let mut own = OwnServer::start(engine);
    let plain = Story::in_database(own.database(), "local", Host::NginxCgi, |site| site);
    let fast = settled(Story::in_database(own.database(), "local", Host::NginxFastCgi, |site| site));
    let ada = fresh("ada");
    let buttons = [&fast, &plain].map(|story| {
        story.ask(&ada);
        story.browser.get(&story.verify_mail(&ada).link()).form()
    });
    // Several connections that are kept open.
    std::thread::scope(|scope| (0..12).for_each(|_| drop(scope.spawn(|| ask_for_a_link(&fast)))));
    let forms = [fast.filled_form(&fresh("bob")), plain.filled_form(&fresh("bob"))];
    own.pause();
    std::thread::scope(|scope| {
        for ((story, form), button) in [&fast, &plain].into_iter().zip(&forms).zip(&buttons) {
            let timed = move |what: &str, request: &dyn Fn() -> u16| {
                let start = Instant::now();
                let status = request();
                assert!(start.elapsed() < BOUND, "{what}: {:?}; {}", start.elapsed(), story.web.log());
                assert_eq!(status, 503, "{what}: {}", story.web.log());
            };
            scope.spawn(move || timed("writing", &|| story.browser.submit(form).status));
            scope.spawn(move || timed("writing where others read", &|| story.browser.submit(button).status));
            scope.spawn(move || timed("reading", &|| ask_for_a_link(story).status));
        }
    });
    own.resume();
    for ((story, form), button) in [&fast, &plain].into_iter().zip(&forms).zip(&buttons) {
        assert_eq!(story.browser.submit(button).status, 200, "{}", story.web.log());
        assert_eq!(ask_for_a_link(story).status, 404, "{}", story.web.log());
        assert_eq!(story.browser.submit(form).status, 200, "{}", story.web.log());
        assert!(story.web.log().contains("see the key database in config.toml"), "{}", story.web.log());
    }
}

fn a_server_that_hangs_for_long_does_not_fill_a_program_with_waiting(engine: Engine) {
    let mut own = OwnServer::start(engine);
    let story = Story::in_database(own.database(), "local", Host::NginxFastCgi, |site| site.set("limits.concurrent_requests", 64));
    let story = settled(story);
    story.site.run_cron();
    own.pause();
    let ask_many = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| assert_eq!(ask_for_a_link(&story).status, 503, "{}", story.web.log()));
            }
        });
        start.elapsed()
    };
    assert!(ask_many() < BOUND);
    assert!(ask_many() < Duration::from_secs(5), "the others are told at once");
    own.resume();
    let end = Instant::now() + Duration::from_secs(20);
    while ask_for_a_link(&story).status != 404 {
        assert!(Instant::now() < end, "{}", story.web.log());
    }
}

/// Otherwise the action would be repeated: here, a second mail.
fn a_restart_while_a_mail_is_on_its_way_is_not_noticed(engine: Engine) {
    let mut own = OwnServer::start(engine);
    let folder = TempFolder::new("sendmail");
    let (program, sent, go) = (folder.join("sendmail"), folder.join("sent"), folder.join("go"));
    let script = format!("cat > /dev/null; echo mail >> {}; until [ -e {} ]; do sleep 0.1; done", sent.display(), go.display());
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let sendmail = |site: SiteBuilder| site.set("mail.transport", "sendmail").set("mail.sendmail", program.display().to_string());
    let story = Story::in_database(own.database(), "local", Host::NginxFastCgi, sendmail);
    let ada = fresh("ada");
    let form = story.filled_form(&ada);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| story.browser.submit(&form).status);
        let start = Instant::now();
        while !sent.exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "no mail: {}", story.web.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        own.stop();
        own.start_again();
        fs::write(&go, "").unwrap();
        assert_eq!(answer.join().unwrap(), 200);
    });
    assert_eq!(story.state(&ada), 1, "{}", story.web.log());
    assert_eq!(fs::read_to_string(sent).unwrap(), "mail\n");
}

fn a_killed_server_is_an_apology_until_it_is_back(engine: Engine) {
    let mut own = OwnServer::start(engine);
    for host in [Host::NginxFastCgi, Host::NginxCgi] {
        let story = settled(Story::in_database(own.database(), "local", host, |site| site));
        let ada = fresh("ada");
        story.ask(&ada);
        let form = story.filled_form(&fresh("bob"));
        own.kill();
        for page in [ask_for_a_link(&story), story.browser.submit(&form)] {
            assert_eq!((page.status, page.header("retry-after")), (503, Some("10")), "{}", story.web.log());
        }
        assert_eq!(story.site.run_cron().status.code(), Some(75));
        own.start_again();
        assert_eq!(story.browser.submit(&form).status, 200, "{}", story.web.log());
        story.confirm(&ada);
        story.site.let_cron_succeed();
        assert_eq!(story.state(&ada), 6);
    }
}

on_every_server! {
    a_restart_between_two_requests_is_not_noticed,
    a_server_that_hangs_holds_no_request_longer_than_the_bound,
    a_server_that_hangs_for_long_does_not_fill_a_program_with_waiting,
    a_restart_while_a_mail_is_on_its_way_is_not_noticed,
    a_killed_server_is_an_apology_until_it_is_back,
}
