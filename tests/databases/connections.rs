use crate::world::{Database, Engine, Host, OwnServer, SiteFolder, built_programs, free_port};
use crate::{Story, ask_for_a_link, connections_to, decision_form, fresh, settled};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Counts the connections to a test's own server.
struct Counter<'a> {
    site: &'a Database,
    other: Database,
    before: i64,
}

impl Counter<'_> {
    /// Waits until so many have come, as far as they come.
    fn come(&mut self, expected: i64) -> i64 {
        let (mut came, end) = (self.came(), std::time::Instant::now() + std::time::Duration::from_secs(30));
        while came < expected && std::time::Instant::now() < end {
            came += self.came();
        }
        came
    }

    /// The number of connections since the last call, without those for counting.
    fn came(&mut self) -> i64 {
        let total = self.total();
        let own = i64::from(self.site.engine() == Engine::Mariadb);
        total - std::mem::replace(&mut self.before, total) - own
    }

    fn total(&self) -> i64 {
        let select = match self.site.engine() {
            Engine::Postgres => {
                // A server process adds itself to the count when it ends.
                let end = Instant::now() + Duration::from_secs(10);
                while !connections_to(self.site, &self.other).is_empty() {
                    assert!(Instant::now() < end, "a program left its connection behind");
                    std::thread::sleep(Duration::from_millis(20));
                }
                format!("SELECT sessions FROM pg_stat_database WHERE datname = '{}'", self.site.name())
            }
            _ => "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'CONNECTIONS'".to_owned(),
        };
        self.other.rows(&select).concat().concat().parse().unwrap()
    }
}

fn a_cgi_program_opens_one_connection_and_only_if_it_needs_it(engine: Engine) {
    let own = OwnServer::start(engine);
    let story = Story::in_database(own.database(), "local", Host::NginxCgi, |site| site);
    assert!(story.site.run_cron().status.success(), "makes the schema");
    let mut counter = Counter { site: &story.database, other: own.database(), before: 0 };
    counter.came();
    let ada = fresh("ada");

    let form = story.filled_form(&ada);
    assert_eq!((counter.came(), story.browser.get("/verify").status), (1, 404), "the form, which may be closed by hand");
    assert_eq!(counter.came(), 0, "a link that is none");
    assert_eq!(story.browser.submit(&form.clone().press("action", "check")).status, 200);
    assert_eq!(counter.came(), 1, "is the name free?");
    assert_eq!(story.browser.submit(&form).status, 200);
    assert_eq!(counter.came(), 1, "filed, leased, mailed and settled");
    let page = story.browser.get(&story.verify_mail(&ada).link());
    assert_eq!(counter.came(), 1, "the link of the mail");
    assert_eq!(story.browser.submit(&page.form()).status, 200);
    assert_eq!(counter.come(2), 2, "confirmed, and the room told; and after the answer the reactions of the bot");
    let page = story.browser.get(&story.room_message(&ada).link());
    assert_eq!(counter.came(), 1, "the link in the room");
    assert_eq!(story.browser.submit(&decision_form(&page, "approve", "")).status, 200);
    assert_eq!(counter.come(2), 2, "decided, an account made, credentials mailed; and after the answer the message in the room edited");
    story.site.let_cron_succeed();
    assert_eq!((counter.came(), story.database.rows("SELECT state FROM registrations")), (1, vec![vec!["100".to_owned()]]), "cron");
}

fn the_form_is_shown_while_the_database_is_away(engine: Engine) {
    let scheme = if engine == Engine::Postgres { "postgres" } else { "mysql" };
    let url = format!("{scheme}://bot:secret@127.0.0.1:{}/register", free_port());
    let site = SiteFolder::new(&built_programs!()).set("database", url).create();
    for host in Host::ALL {
        let web = crate::world::WebServer::start(&site, host);
        assert_eq!(crate::world::Browser::new(&web.url()).get("/register").status, 200, "{host:?}: {}", web.log());
    }
}

fn a_fastcgi_program_keeps_its_connection_from_request_to_request(engine: Engine) {
    let story = settled(Story::on(engine, "synapse", Host::NginxFastCgi));
    let other = Database::new(engine);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let link = story.room_message(&ada).link();
    story.browser.get(&link);
    let kept = connections_to(&story.database, &other);
    assert_eq!(kept.len(), 3, "one of each program");
    for _ in 0..5 {
        story.ask_and_confirm(&fresh("bob"));
        assert_eq!(story.browser.get(&link).status, 200);
    }
    let now = connections_to(&story.database, &other);
    assert!(kept.iter().all(|connection| now.contains(connection)), "{kept:?} {now:?}");
    // A program that works after its answers has one for that.
    assert!(now.len() <= 2 * kept.len(), "{kept:?} {now:?}");
}

fn connections_of_a_fastcgi_program_are_bounded_by_the_requests_at_once(engine: Engine) {
    let story = settled(Story::on_with(engine, "synapse", Host::NginxFastCgi, |site| site.set("limits.concurrent_requests", 3)));
    story.site.run_cron();
    let other = Database::new(engine);
    let done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(connections_to(&story.database, &other).len());
            }
            most
        });
        let visitors: Vec<_> = (0..24).map(|_| scope.spawn(|| (0..10).all(|_| ask_for_a_link(&story).status == 404))).collect();
        let all = visitors.into_iter().all(|visitor| visitor.join().unwrap());
        done.store(true, Ordering::Relaxed);
        assert!(all, "{}", story.web.log());
        watch.join().unwrap()
    });
    assert!((1..=3).contains(&most), "{most}");
    assert!((1..=3).contains(&connections_to(&story.database, &other).len()));
}

on_every_server! {
    a_cgi_program_opens_one_connection_and_only_if_it_needs_it,
    the_form_is_shown_while_the_database_is_away,
    a_fastcgi_program_keeps_its_connection_from_request_to_request,
    connections_of_a_fastcgi_program_are_bounded_by_the_requests_at_once,
}
