//! The machine under test: two web servers with the programs, one database, mail server and homeserver behind proxies; and
//! everything that can happen to it.

use crate::homeserver_proxy;
use crate::mail_proxy::MailProxy;
use crate::tally::Tally;
use crate::weather::Weather;
use crate::world::process::{log_to, running_below};
use crate::world::{
    Account, Browser, Database, Engine, Form, Host, MailCatcher, Mas, OwnServer, Page, SiteBuilder, SiteFolder, SmallDisk, Synapse,
    TempFolder, TokenSynapse, WebServer, built_programs, http,
};
use matrix_register_bot::domain::config::DatabaseUrl;
use matrix_register_bot::outside::fault::{DEATHS_VARIABLE, DIE_AT_VARIABLE};
use matrix_register_bot::outside::store::{Access, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use url::Url;

/// Both ways of running the programs: a process per request under fcgiwrap, and FastCGI under spawn-fcgi.
const HOSTS: [Host; 2] = [Host::NginxCgi, Host::NginxFastCgi];
/// Where crons die in a storm; each dies at one of these points.
const CRON_DEATHS: [&str; 18] = [
    "1/2",
    "1/3",
    "1/4",
    "1/6",
    "1/10",
    "1/20",
    "mail taken",
    "homeserver answered",
    "homeserver answered:3",
    "settle",
    "settled:2",
    "leased:3",
    "settle shown",
    "room message noted",
    "room message posted",
    "reading begun",
    "words noted",
    "words obeyed",
];
/// The same where MAS makes the accounts.
const MAS_DEATHS: [&str; 14] = [
    "1/4",
    "1/10",
    "1/40",
    "mas asked",
    "mas answered",
    "mas answered:2",
    "mas answered:3",
    "mas answered:5",
    "account try noted",
    "account noted",
    "password noted",
    "settle",
    "settled:2",
    "homeserver answered:3",
];
/// The size of the disk for the database; most of it holds the server's own files.
const MEGABYTES: [(Engine, usize); 3] = [(Engine::Sqlite, 64), (Engine::Postgres, 700), (Engine::Mariadb, 700)];

/// Everything on one machine. Fields are dropped in this order.
pub struct Place {
    webs: [Mutex<Option<WebServer>>; 2],
    disk: Option<SmallDisk>,
    /// If no disk could be mounted, crons simulate a full one.
    no_room: AtomicBool,
    pub sites: [SiteFolder; 2],
    /// The content of the file that the web programs' variable names.
    orders: PathBuf,
    deaths: PathBuf,
    deaths_read: Mutex<usize>,
    /// The folder of config.json, which is on the same disk as SQLite's file.
    state: PathBuf,
    server: Option<Mutex<OwnServer>>,
    pub database: Database,
    pub mails: MailCatcher,
    pub mail_proxy: MailProxy,
    pub synapse: Synapse,
    /// The stand-in that makes accounts in mas mode; `synapse` is the homeserver behind it then.
    pub mas: Option<Mas>,
    pub weather: Arc<Weather>,
    /// Logs of web servers that were killed.
    said: Mutex<String>,
    /// Killed processes, each with the number of the storm.
    pub killed: Mutex<HashSet<(usize, u32)>>,
    pub tally: Tally,
    pub bot: String,
    /// With this token the test plays the homeserver that tells `internal/room_events` what happens in the room.
    hs_token: String,
    /// The homeserver of the mode with a registration token.
    _own_synapse: Option<TokenSynapse>,
    _state: TempFolder,
}

impl Place {
    /// With a homeserver of its own in the modes that need another one than the rest of the tests.
    pub fn set_up(engine: Engine, seed: u64, mas: Option<Mas>, own_synapse: Option<TokenSynapse>) -> Place {
        let own = mas.as_ref().map(|mas| &mas.synapse).or(own_synapse.as_ref().map(|own| &own.own.synapse));
        let synapse = own.map_or_else(Synapse::shared, Synapse::clone);
        let (mails, weather) = (MailCatcher::start(), Arc::new(Weather::new(seed)));
        let megabytes = MEGABYTES.iter().find(|(of, _)| *of == engine).expect("a size for each").1;
        let (mut disk, own_state) = (None, TempFolder::new("state"));
        let server = (engine != Engine::Sqlite).then(|| OwnServer::start_on(engine, |data| disk = SmallDisk::mount(data, megabytes)));
        let database = server.as_ref().map_or_else(|| Database::new(engine), OwnServer::database);
        let mut state = own_state.path().to_owned();
        if engine == Engine::Sqlite {
            state = PathBuf::from(database.name()).parent().expect("a file is in a folder").to_owned();
            disk = SmallDisk::mount(&state, megabytes);
        }
        let homeserver = homeserver_proxy::start(&synapse.base_url, &weather, true);
        let bot = format!("doorman{}{}", crate::world::mark(), engine.name());
        let settings = || settings(&synapse, &database).set("homeserver_url", homeserver.as_str()).set("room.bot_localpart", bot.as_str());
        let settings = || match &own_synapse {
            Some(own) => settings().set("registration_token.token", own.home.token.as_str()),
            None => settings(),
        };
        let mut sites = HOSTS.map(|_| settings().set("state_folder", state.to_str().unwrap()).create());
        if let Some(mas) = &mas {
            behind_mas(mas, &mut sites, &bot, &weather);
        }
        let mail_proxy = MailProxy::start(mails.port, &weather, sites.iter().map(|site| site.path().to_owned()).collect());
        let public_url = sites[0].public_url();
        for site in &mut sites {
            site.set("mail.smtp.port", i64::from(mail_proxy.port));
            site.set("public_url", public_url.as_str());
        }
        let hs_token = print_service(&sites[0], &state);
        let (orders, deaths) = (sites[0].path().join("orders"), sites[0].path().join("deaths"));
        let (webs, server) = (Default::default(), server.map(Mutex::new));
        let (deaths_read, said, killed, tally, no_room) = Default::default();
        #[rustfmt::skip]
        let place = Place {
            webs, disk, no_room, sites, orders, deaths, deaths_read, state, server, database, mails, mail_proxy, synapse, mas, weather, said, killed, tally, bot, hs_token,
            _own_synapse: own_synapse,
            _state: own_state,
        };
        (0..HOSTS.len()).for_each(|web| place.start_web(web));
        place
    }

    /// MAS makes half accounts now and then, is killed, or takes its time.
    pub fn mas_goes_wrong(&self) {
        if let Some(mas) = &self.mas {
            mas.fail("create", self.weather.chance.pick(&["half-made", "killed", "slow", "synapse-down", "lost"]), 1);
        }
    }

    /// No more faults of MAS itself.
    pub fn mas_is_well(&self) {
        self.mas.iter().for_each(Mas::calm);
    }

    fn start_web(&self, web: usize) {
        let variables = [(DIE_AT_VARIABLE, self.orders.to_str().unwrap()), (DEATHS_VARIABLE, self.deaths.to_str().unwrap())];
        *self.webs[web].lock().unwrap() = Some(WebServer::start_with(&self.sites[web], HOSTS[web], &variables));
    }

    /// Web server, gateway and programs die at once and are restarted.
    pub fn kill_web(&self, web: usize) {
        let dying = self.webs[web].lock().unwrap().take().expect("it runs");
        self.said.lock().unwrap().push_str(&dying.log());
        for (pid, ..) in running_below(self.sites[web].path()) {
            self.note_killed(pid);
        }
        dying.kill();
        self.tally.web_kills.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(300));
        self.start_web(web);
    }

    /// The database server dies and restarts with the data on its disk.
    pub fn kill_database(&self) {
        let Some(server) = &self.server else { return };
        let mut server = server.lock().unwrap();
        server.kill();
        self.tally.database_kills.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(500));
        server.start_again();
    }

    /// The disk of the database, and with SQLite that of the state file, is full for a while.
    pub fn fill_disk(&self, for_so_long: Duration) {
        self.tally.full_disks.fetch_add(1, Ordering::SeqCst);
        let Some(disk) = &self.disk else {
            // The closest simulation that needs no privileges: crons may write only the first page of a file.
            self.no_room.store(true, Ordering::SeqCst);
            thread::sleep(for_so_long);
            return self.no_room.store(false, Ordering::SeqCst);
        };
        disk.fill();
        thread::sleep(for_so_long);
        disk.relieve();
        if let Some(server) = &self.server {
            // A server that could not write its journal may have ended.
            let mut own = server.lock().unwrap();
            let end = Instant::now() + Duration::from_secs(5);
            while !own.server.answers() {
                if Instant::now() > end {
                    own.kill();
                    own.start_again();
                }
            }
        }
    }

    /// Sets where web programs die from now on; empty: nowhere.
    pub fn order_deaths(&self, order: &str) {
        let aside = self.orders.with_extension("new");
        fs::write(&aside, order).unwrap();
        fs::rename(aside, &self.orders).unwrap();
    }

    /// Runs cron once. In a storm it may die at a point or anywhere; at the end of the storm it certainly does.
    pub fn run_cron(&self) {
        let (chance, storm) = (&self.weather.chance, self.weather.is_storm());
        if storm {
            self.let_the_next_cron_in();
        }
        let (program, no_room) = (self.sites[chance.below(2)].program("cron"), self.no_room.load(Ordering::SeqCst));
        let mut command = Command::new(if no_room { Path::new("/usr/bin/env") } else { &program });
        if no_room {
            command.args(["--ignore-signal=XFSZ", "prlimit", "--fsize=4096"]).arg(&program);
        }
        command.arg("-v").env_clear().current_dir("/");
        log_to(&mut command, &self.cron_log());
        let mut lives_for = Duration::from_secs(3600);
        if storm && chance.one_in(6) {
            lives_for = Duration::from_millis(15 + chance.below(150) as u64);
        } else if storm {
            let deaths = if self.mas.is_some() { &MAS_DEATHS[..] } else { &CRON_DEATHS };
            let order = match chance.pick(deaths) {
                order if order.starts_with("1/") => format!("{order}:{}", chance.next()),
                order => order.to_owned(),
            };
            command.envs([(DIE_AT_VARIABLE, std::ffi::OsStr::new(&order)), (DEATHS_VARIABLE, self.deaths.as_os_str())]);
        }
        let (mut child, start, mut is_killed) = (command.spawn().expect("cron can be run"), Instant::now(), false);
        self.tally.crons.fetch_add(1, Ordering::SeqCst);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if !is_killed && (start.elapsed() > lives_for || storm && !self.weather.is_storm()) {
                is_killed = child.kill().is_ok();
            }
            thread::sleep(Duration::from_millis(2));
        };
        if status.signal() == Some(9) {
            self.note_killed(child.id());
            // A process that we killed may have died at a point just before; then the file lists it.
            let wrote_it_down = || fs::read_to_string(&self.deaths).is_ok_and(|deaths| deaths.contains(&format!("{} ", child.id())));
            if is_killed && !wrote_it_down() {
                self.tally.died_anywhere.fetch_add(1, Ordering::SeqCst);
            }
            self.tally.crons_in_vain.store(0, Ordering::SeqCst);
        } else {
            self.tally.crons_in_vain.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn cron_log(&self) -> PathBuf {
        self.sites[0].path().join("cron.log")
    }

    /// Kills a running web program, if there is one: a CGI program, or a FastCGI worker.
    pub fn kill_a_web_program(&self) {
        let web = self.weather.chance.below(2);
        let processes = running_below(self.sites[web].path());
        let is_parent = |pid: u32| processes.iter().any(|(_, parent, _)| *parent == pid);
        let candidates = processes.iter().filter(|(pid, parent, program)| {
            let is_worker = processes.iter().any(|(other, ..)| other == parent);
            program.parent().is_some_and(|folder| folder.ends_with("public") || folder.ends_with("internal"))
                && !is_parent(*pid)
                && (HOSTS[web] == Host::NginxCgi || is_worker)
        });
        let candidates: Vec<u32> = candidates.map(|(pid, ..)| *pid).collect();
        if !candidates.is_empty() {
            let pid = self.weather.chance.pick(&candidates);
            self.note_killed(pid);
            kill(pid);
            self.tally.web_signals.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn note_killed(&self, pid: u32) {
        self.killed.lock().unwrap().insert((self.weather.beat(), pid));
    }

    /// Reads what programs recorded when they died.
    pub fn count_deaths(&self) {
        let text = fs::read_to_string(&self.deaths).unwrap_or_default();
        let mut read = self.deaths_read.lock().unwrap();
        for line in text[*read..].split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            *read += line.len();
            let (pid, point) = line.trim_end().split_once(' ').expect("process id and point");
            self.note_killed(pid.parse().expect("a process id"));
            self.tally.died_at_points.fetch_add(1, Ordering::SeqCst);
            *self.tally.points.lock().unwrap().entry(point.to_owned()).or_default() += 1;
        }
    }

    /// Waits until no program is running: the holder of any lease is then dead.
    pub fn wait_until_quiet(&self) {
        let end = Instant::now() + Duration::from_secs(180);
        let is_cgi_at_work = || !running_below(self.sites[0].path()).is_empty();
        while !self.weather.what_is_under_way().is_empty() || is_cgi_at_work() {
            assert!(
                Instant::now() < end,
                "still at work: {:?}; {:?}; {}",
                self.weather.what_is_under_way(),
                running_below(self.sites[0].path()),
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(10));
        }
        self.count_deaths();
    }

    /// Simulates that a day has passed, for everything that waits; no program may be running.
    pub fn time_passes(&self) {
        self.database.sql(
            "UPDATE registrations SET lease_until = lease_until - 86400 WHERE lease IS NOT NULL; \
             UPDATE registrations SET due_at = due_at - 86400 WHERE state NOT IN (13, 15, 100); \
             UPDATE owed_actions SET lease_until = lease_until - 86400 WHERE lease IS NOT NULL; \
             UPDATE owed_actions SET due_at = due_at - 86400, owed_since = owed_since - 86400 WHERE kind NOT IN (0, 2, 3); \
             UPDATE password_resets SET lease_until = lease_until - 86400 WHERE lease IS NOT NULL; \
             UPDATE password_resets SET due_at = due_at - 86400 WHERE is_done = 0; \
             UPDATE locks SET held_until = held_until - 86400",
        );
    }

    /// The operator asks an applicant something. In a storm this may die as well. Whether it says that it is done.
    pub fn put_question(&self, name: &str, question: &str) -> bool {
        let waiting = self.sites[0].run_cron_with(&["--waiting"]);
        let waiting = String::from_utf8_lossy(&waiting.stdout).into_owned();
        let line = waiting.lines().find(|line| line.contains(&format!("@{name}:")));
        let Some(id) = line.and_then(|line| line.split(':').next()) else { return false };
        let mut command = Command::new(self.sites[0].program("cron"));
        command.args(["--ask", id, question]).env_clear().current_dir("/");
        log_to(&mut command, &self.cron_log());
        if self.weather.is_storm() {
            let order = format!("1/10:{}", self.weather.chance.next());
            command.envs([(DIE_AT_VARIABLE, std::ffi::OsStr::new(&order)), (DEATHS_VARIABLE, self.deaths.as_os_str())]);
        }
        let mut child = command.spawn().expect("cron can be run");
        let status = child.wait().unwrap();
        if status.signal() == Some(9) {
            self.note_killed(child.id());
        }
        status.success()
    }

    /// Lets the lock of a killed or slow cron expire: leases keep crons apart. Does nothing if the database is unavailable.
    fn let_the_next_cron_in(&self) {
        let url: DatabaseUrl = self.database.url().parse().unwrap();
        let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + 86_400;
        let taken = Store::open(&url, Access::Write).and_then(|mut store| {
            store.take_lock("cron", "test", tomorrow, tomorrow)?;
            store.release_lock("cron", "test")
        });
        drop(taken);
    }

    /// Removes the token from the state file, so that the bot has to log in again while programs die.
    pub fn forget_token(&self) {
        let path = self.state.join("config.json");
        let Ok(text) = fs::read_to_string(&path) else { return };
        let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
        state.as_object_mut().unwrap().remove("access_token");
        let aside = path.with_extension("test");
        fs::write(&aside, state.to_string()).unwrap();
        fs::rename(aside, path).unwrap();
    }

    /// The secret in the state file at this moment; an error if the file is invalid.
    pub fn secret_key(&self) -> Result<Option<String>, String> {
        match fs::read_to_string(self.state.join("config.json")) {
            Err(_) => Ok(None),
            Ok(text) => {
                let state: serde_json::Value =
                    serde_json::from_str(&text).map_err(|cause| format!("config.json is broken: {cause}: {text:?}"))?;
                Ok(state["secret_key"].as_str().map(str::to_owned))
            }
        }
    }

    /// From now on requests go to a new room, and accounts are made in this mode, with first passwords in this way.
    pub fn turn_to(&mut self, (mode, credentials): (&str, &str)) -> String {
        let room = self.synapse.create_room_of(&self.synapse.alice, &[&self.synapse.bob]);
        self.synapse.join(&room, &self.synapse.bob);
        let bot = Account {
            localpart: self.bot.clone(),
            user_id: self.synapse.user_id(&self.bot),
            password: String::new(),
            token: String::new(),
        };
        self.synapse.invite(&room, &self.synapse.alice, &bot);
        for site in &mut self.sites {
            site.set("operation_mode", mode);
            site.set("credentials", credentials);
            site.set("room.id", room.as_str());
        }
        room
    }

    /// Tells the programs of an event, as a homeserver does: perhaps twice, perhaps never.
    pub fn push(&self, event: &Value) {
        for _ in 0..self.weather.chance.below(3) {
            let (web, number) = (self.weather.chance.below(2), self.weather.chance.below(1000));
            let path = format!("internal/room_events/_matrix/app/v1/transactions/{number}");
            let url = format!("http://127.0.0.1:{}/{path}", self.sites[web].internal_port);
            // Whatever comes back: cron reads the room.
            let _ = http::json(&http::agent(10), "PUT", &url, Some(&self.hs_token), Some(&json!({ "events": [event] })));
        }
    }

    /// A page from one of the web servers; `None` if there was no answer, or an error.
    pub fn get(&self, address: &str) -> Option<Page> {
        self.ask(|browser, at| browser.try_request("GET", &at(address), "", b""))
    }

    /// Sends a form to one of the web servers.
    pub fn submit(&self, form: &Form) -> Option<Page> {
        self.ask(|browser, at| browser.try_submit(&Form { action: at(&form.action), ..form.clone() }))
    }

    fn ask(&self, ask: impl Fn(&Browser, &dyn Fn(&str) -> String) -> Result<Page, String>) -> Option<Page> {
        let port = self.sites[self.weather.chance.below(2)].port;
        let at = |address: &str| {
            let mut url = Url::parse(address).unwrap_or_else(|_| panic!("{address} is no address"));
            url.set_port(Some(port)).unwrap();
            url.to_string()
        };
        let page = ask(&Browser::new("http://127.0.0.1/"), &at).and_then(|page| match page.status {
            ..500 => Ok(page),
            status => Err(format!("{} {status}: {}", page.url, page.text())),
        });
        page.inspect_err(|cause| {
            self.tally.errors_seen.fetch_add(1, Ordering::Relaxed);
            *self.tally.last_error.lock().unwrap() = cause.clone();
        })
        .ok()
    }

    /// The end of each log.
    pub fn log_tail(&self) -> String {
        let tail = |text: String| String::from_utf8_lossy(&text.as_bytes()[text.len().saturating_sub(3000)..]).into_owned();
        let webs = self.webs.iter().map(|web| web.lock().unwrap().as_ref().map(|web| tail(web.log())).unwrap_or_default());
        let cron = tail(fs::read_to_string(self.cron_log()).unwrap_or_default());
        format!(
            "the last error seen: {}\nthe logs end with:\n{}\n{cron}",
            self.tally.last_error.lock().unwrap(),
            webs.collect::<Vec<_>>().join("\n")
        )
    }

    /// The output of web servers, programs and crons.
    pub fn log(&self) -> String {
        let webs = self.webs.iter().filter_map(|web| Some(web.lock().unwrap().as_ref()?.log()));
        webs.collect::<String>() + &self.said.lock().unwrap() + &fs::read_to_string(self.cron_log()).unwrap_or_default()
    }
}

/// Makes the tokens of an application service, which the homeserver does not know. Returns the one with which it would call.
fn print_service(site: &SiteFolder, state: &Path) -> String {
    let printed = site.run_cron_with(&["--print-appservice"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let state: Value = serde_json::from_str(&fs::read_to_string(state.join("config.json")).unwrap()).unwrap();
    state["service"]["hs_token"].as_str().expect("a token").to_owned()
}

/// Creates the configuration.
fn settings(synapse: &Synapse, database: &Database) -> SiteBuilder {
    let site = SiteFolder::new(&built_programs!()).synapse(synapse).database(database);
    // The bot logs in itself, so that something is written to the state file.
    let site = site.unset("room.access_token").set("mail.smtp.timeout_seconds", 2);
    site.set("limits.concurrent_requests", 64).set("times.cron_budget_seconds", 90)
}

/// Accounts in MAS. The bot gets a token that may see whose an account is, and logs in nowhere.
fn behind_mas(mas: &Mas, sites: &mut [SiteFolder], bot: &str, weather: &Arc<Weather>) {
    mas.somebody(bot, "mas", serde_json::json!({"displayname": "Doorman"}));
    let token = mas.personal_session(bot, "urn:matrix:client:api:* urn:matrix:client:device:REGISTERBOT urn:synapse:admin:*");
    let admin_url = homeserver_proxy::start(&mas.admin_url, weather, false);
    for site in sites {
        for (key, value) in [("client_id", &mas.client_id), ("client_secret", &mas.client_secret), ("public_url", &mas.admin_url)] {
            site.set(&format!("mas.{key}"), value.as_str());
        }
        site.set("mas.admin_url", admin_url.as_str());
        site.set("room.access_token", token.as_str());
        site.set("times.cron_budget_seconds", 400);
        site.unset("registration_shared_secret");
    }
}

fn kill(pid: u32) {
    let _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, Signal::KILL));
}
