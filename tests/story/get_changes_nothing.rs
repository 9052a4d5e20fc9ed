use crate::world::{Database, Engine, Host, on_every_database};
use crate::{Story, fresh};

/// The whole content of the database: the bytes of SQLite's file and journal, or a dump without the lines about the dump
/// itself.
fn content(database: &Database) -> Vec<u8> {
    if database.engine() == Engine::Sqlite {
        let read = |suffix: &str| std::fs::read(database.name() + suffix).unwrap_or_default();
        return [read(""), read("-wal")].concat();
    }
    let dump = database.dump();
    let lines = dump.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"--") && !line.starts_with(b"\\"));
    lines.collect::<Vec<_>>().concat()
}

fn get_and_head_on_every_address_leave_the_database_as_it_is(engine: Engine) {
    for host in Host::ALL {
        let story = Story::on(engine, "synapse", host);
        let (ada, bob, eve) = (fresh("ada"), fresh("bob"), fresh("eve"));
        story.ask(&ada);
        for name in [&bob, &eve] {
            story.ask_and_confirm(name);
        }
        let thanks = story.ask(&fresh("dan")).form().action;
        story.decide(&eve, "decline", "");
        let mut places: Vec<String> =
            ["/", "/register", "/index.php", "/?lang=de", "/verify", "/verify?t=x", "/verify_admin", "/welcome", "/welcome?t=x"]
                .map(String::from)
                .into();
        places.extend(["/reset_password".to_owned(), "/reset_password?t=0123456789abcdef0123456789abcdef".to_owned(), thanks]);
        places.extend([&ada, &bob, &eve].map(|name| story.verify_mail(name).link()));
        places.extend([&bob, &eve].map(|name| story.room_message(name).link()));
        places.extend([&bob, &eve].map(|name| format!("{}&d=allow", story.room_message(name).link())));
        let (before, mails) = (content(&story.database), story.mails.count());
        for place in &places {
            let page = story.browser.get(place);
            let head = story.browser.request("HEAD", place, "", b"");
            assert_eq!((head.status, head.text().len()), (page.status, 0), "{place}");
            assert_eq!(head.header("content-type"), page.header("content-type"), "{place}");
        }
        assert!(before == content(&story.database), "{host:?}");
        assert_eq!(mails, story.mails.count());
    }
}

on_every_database! {
    get_and_head_on_every_address_leave_the_database_as_it_is,
}
