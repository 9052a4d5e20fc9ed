use crate::world::{Database, Engine, Host, on_every_database};
use crate::{Story, fresh};
use std::thread;
use std::time::{Duration, Instant};

/// The whole content of the database: all rows, or a dump without the lines about the dump itself. Not the bytes of SQLite's files,
/// because a program that has answered may still move rows from the journal to the file.
fn content(database: &Database) -> Vec<u8> {
    if database.engine() == Engine::Sqlite {
        let tables = database.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").concat();
        let rows = tables.iter().map(|table| format!("{table}: {:?}\n", database.rows(&format!("SELECT * FROM {table}"))));
        return rows.collect::<String>().into_bytes();
    }
    let dump = database.dump();
    let lines = dump.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"--") && !line.starts_with(b"\\"));
    lines.collect::<Vec<_>>().concat()
}

fn get_and_head_on_every_address_leave_the_database_as_it_is(engine: Engine) {
    // What a web server does with HEAD does not depend on the database.
    let hosts = if engine == Engine::Sqlite { &Host::ALL[..] } else { &[Host::NginxCgi, Host::NginxFastCgi] };
    for &host in hosts {
        let story = Story::on(engine, "synapse", host);
        let (ada, bob, eve) = (fresh("ada"), fresh("bob"), fresh("eve"));
        story.ask(&ada);
        for name in [&bob, &eve] {
            story.ask_and_confirm(name);
        }
        let thanks = story.ask(&fresh("dan")).form().action;
        story.decide(&eve, "decline", "");
        wait_until_the_room_is_told(&story);
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

/// Programs tell the room after their answer.
fn wait_until_the_room_is_told(story: &Story) {
    let end = Instant::now() + Duration::from_secs(30);
    while story.number("SELECT count(*) FROM owed_actions WHERE kind = 5") > 0 {
        assert!(Instant::now() < end, "{}", story.web.log());
        thread::sleep(Duration::from_millis(50));
    }
}

on_every_database! {
    get_and_head_on_every_address_leave_the_database_as_it_is,
}
