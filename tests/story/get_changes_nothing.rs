use crate::world::Host;
use crate::{Story, fresh};
use std::path::Path;

/// The bytes of the database and its journal.
fn bytes(database: &Path) -> (Vec<u8>, Vec<u8>) {
    let journal = database.with_file_name(format!("{}-wal", database.file_name().unwrap().to_string_lossy()));
    (std::fs::read(database).unwrap(), std::fs::read(journal).unwrap_or_default())
}

#[test]
fn get_and_head_on_every_address_leave_the_database_as_it_is() {
    for host in Host::ALL {
        let story = Story::start("synapse", host);
        let (ada, bob, eve) = (fresh("ada"), fresh("bob"), fresh("eve"));
        story.ask(&ada);
        for name in [&bob, &eve] {
            story.ask_and_confirm(name);
        }
        story.decide(&eve, "decline", "");
        let mut places: Vec<String> =
            ["/", "/register", "/index.php", "/?lang=de", "/verify", "/verify?t=x", "/verify_admin"].map(String::from).into();
        places.extend([&ada, &bob, &eve].map(|name| story.verify_mail(name).link()));
        places.extend([&bob, &eve].map(|name| story.room_message(name).link()));
        places.extend([&bob, &eve].map(|name| format!("{}&d=allow", story.room_message(name).link())));
        let (before, mails) = (bytes(&story.site.database_path()), story.mails.count());
        for place in &places {
            let page = story.browser.get(place);
            let head = story.browser.request("HEAD", place, "", b"");
            assert_eq!((head.status, head.text().len()), (page.status, 0), "{place}");
            assert_eq!(head.header("content-type"), page.header("content-type"), "{place}");
        }
        assert!(before == bytes(&story.site.database_path()), "{host:?}");
        assert_eq!(mails, story.mails.count());
    }
}
