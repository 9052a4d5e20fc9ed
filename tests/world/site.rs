//! A temporary installation: `config.toml`, and the programs in `public/`, `internal/` and `cron/`.

use super::process::running_below;
use super::{Database, MailCatcher, Mas, Synapse, TempFolder, free_port, program_places};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// The subfolder used as example in `docs/hosts`.
const FOLDER: &str = "/signup/";

/// The programs of an installation: the place of each (`public/register`), and the file that is put there.
#[derive(Debug, Clone)]
pub struct Programs(Vec<(&'static str, PathBuf)>);

impl Programs {
    /// All programs, which are one executable.
    pub fn of(executable: &Path) -> Programs {
        Programs::new(program_places().into_iter().map(|place| (place, executable)))
    }

    /// The programs that Cargo built, or the copy of them that `tests/run` made where the sites of the tests are.
    pub fn built(executable: &Path) -> Programs {
        let copy = std::env::var_os("TEST_PROGRAM").map(PathBuf::from);
        Programs::of(copy.as_deref().unwrap_or(executable))
    }

    /// Pairs of place and file: `("public/register", "target/script")`.
    pub fn new<P: AsRef<Path>>(programs: impl IntoIterator<Item = (&'static str, P)>) -> Programs {
        Programs(programs.into_iter().map(|(place, file)| (place, file.as_ref().to_owned())).collect())
    }
}

/// The settings of a future installation. At first it has no homeserver or mail server: add `synapse` and `mail`.
#[derive(Debug, Clone)]
pub struct SiteBuilder {
    programs: Programs,
    settings: Table,
    port: u16,
    tls_port: Option<u16>,
    /// The path of the pages on their host, with slashes at both ends.
    place: &'static str,
    /// The port for requests by Synapse and identity servers.
    pub internal_port: u16,
}

impl SiteBuilder {
    /// Sets a key of `config.toml`; dots separate tables: `.set("times.confirm_within_hours", 1)`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> SiteBuilder {
        set(&mut self.settings, key, value.into());
        self
    }

    /// Sets `credentials = "link"`.
    pub fn send_link(self) -> SiteBuilder {
        self.set("credentials", "link")
    }

    /// Removes a key.
    pub fn unset(mut self, key: &str) -> SiteBuilder {
        unset(&mut self.settings, key);
        self
    }

    /// Connects the site to a homeserver: its name, URL, secret, room, and the bot's access token.
    pub fn synapse(self, synapse: &Synapse) -> SiteBuilder {
        self.set("server_name", synapse.server_name.as_str())
            .set("homeserver_url", synapse.base_url.as_str())
            .set("registration_shared_secret", synapse.shared_secret.as_str())
            .set("room.id", synapse.room.as_str())
            .set("room.bot_localpart", synapse.bot.localpart.as_str())
            .set("room.access_token", synapse.bot.token.as_str())
    }

    /// Makes accounts in matrix-authentication-service.
    pub fn mas(self, mas: &Mas) -> SiteBuilder {
        self.unset("registration_shared_secret")
            .mode("mas")
            .set("mas.admin_url", mas.admin_url.as_str())
            .set("mas.client_id", mas.client_id.as_str())
            .set("mas.client_secret", mas.client_secret.as_str())
            .set("mas.public_url", "https://auth.example.test/")
    }

    pub fn room(self, id: &str) -> SiteBuilder {
        self.set("room.id", id)
    }

    /// Sends the mails to a catcher.
    pub fn mail(self, catcher: &MailCatcher) -> SiteBuilder {
        self.set("mail.smtp.port", i64::from(catcher.port))
    }

    /// Stores the data in this database instead of a file.
    pub fn database(self, database: &Database) -> SiteBuilder {
        self.set("database", database.url())
    }

    /// `"synapse"` or `"local"`.
    pub fn mode(self, mode: &str) -> SiteBuilder {
        self.set("operation_mode", mode)
    }

    /// `"en"` or `"de"`.
    pub fn language(self, tag: &str) -> SiteBuilder {
        self.set("default_language", tag)
    }

    /// Sets `credentials = "confirm"`.
    pub fn ask_password(self) -> SiteBuilder {
        self.set("credentials", "confirm")
    }

    /// Puts the pages below `/signup/` instead of the root of the host.
    pub fn in_folder(mut self) -> SiteBuilder {
        self.place = FOLDER;
        self.with_public_url()
    }

    /// Puts another web server in front, with a certificate that nobody else knows.
    pub fn behind_tls(mut self) -> SiteBuilder {
        self.tls_port = Some(free_port());
        self.with_public_url()
    }

    fn with_public_url(self) -> SiteBuilder {
        let url = match self.tls_port {
            Some(port) => format!("https://127.0.0.1:{port}{}", self.place),
            None => format!("http://127.0.0.1:{}{}", self.port, self.place),
        };
        self.set("public_url", url)
    }

    /// Creates the folder.
    pub fn create(self) -> SiteFolder {
        let folder = TempFolder::new("site");
        for name in ["bin", "public", "internal", "cron", "data"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let mut copies: BTreeMap<&Path, PathBuf> = BTreeMap::new();
        for (place, file) in &self.programs.0 {
            let copy = folder.join(place);
            copy_program(copies.get(file.as_path()).unwrap_or(file), &copy);
            copies.insert(file, copy);
        }
        let SiteBuilder { programs, settings, port, tls_port, place: _, internal_port } = self;
        let site = SiteFolder { folder, settings, programs, port, tls_port, internal_port };
        site.write_config();
        site
    }
}

/// An installation; its folder is removed when this value is dropped.
#[derive(Debug)]
pub struct SiteFolder {
    folder: TempFolder,
    settings: Table,
    programs: Programs,
    /// The port of the web server; `public_url` contains it unless there is a proxy in front.
    pub port: u16,
    /// The port of a proxy with a certificate, if there is one in front.
    pub tls_port: Option<u16>,
    /// The port for requests by Synapse and identity servers.
    pub internal_port: u16,
}

impl SiteFolder {
    /// Settings that work in local mode, without homeserver and mail server: nothing listens on port 9 of loopback.
    #[allow(clippy::new_ret_no_self)] // reads as what it makes: SiteFolder::new(..). ... .create()
    pub fn new(programs: &Programs) -> SiteBuilder {
        let port = free_port();
        let empty = SiteBuilder {
            programs: programs.clone(),
            settings: Table::new(),
            port,
            tls_port: None,
            place: "/",
            internal_port: free_port(),
        };
        empty
            .with_public_url()
            .set("server_name", "example.test")
            .set("homeserver_url", "http://127.0.0.1:9")
            .set("operation_mode", "local")
            .set("room.id", "!nowhere:example.test")
            .set("mail.from", "Sign-up at example.test <register@example.test>")
            .set("mail.transport", "smtp")
            .set("mail.smtp.host", "127.0.0.1")
            .set("mail.smtp.port", 9)
            // Tests also look for successes in the log, wherever standard error leads.
            .set("log_level", "info")
            // Tests fill in forms quickly, often, and all from one network.
            .set("limits.form_minimum_seconds", 0)
            .set("limits.requests_per_network_per_day", 0)
            .set("limits.name_checks_per_network_per_day", 0)
            .set("limits.requests_per_address_per_day", 0)
            .set("limits.mails_per_address_per_day", 0)
            .set("limits.requests_per_day", 0)
            .set("limits.open_requests", 0)
            .set("limits.confirm_mails_per_day", 0)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// The URL of the pages, with a slash at the end.
    pub fn public_url(&self) -> String {
        self.settings.get("public_url").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Whether the pages are in a subfolder of their host.
    pub fn is_in_folder(&self) -> bool {
        self.public_url().ends_with(FOLDER)
    }

    /// The URL of the homeserver, without a slash at the end.
    pub fn homeserver_url(&self) -> &str {
        self.settings.get("homeserver_url").and_then(Value::as_str).unwrap_or_default().trim_end_matches('/')
    }

    /// The database file, if the site uses SQLite.
    pub fn database_path(&self) -> PathBuf {
        let url = self.settings.get("database").and_then(Value::as_str);
        self.folder.join(url.and_then(|url| url.strip_prefix("sqlite:")).unwrap_or("data/register.sqlite"))
    }

    /// Changes the configuration of the installation; running FastCGI programs notice this at their next request.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        set(&mut self.settings, key, value.into());
        self.write_config();
    }

    /// Removes a key from the configuration of the installation.
    pub fn unset(&mut self, key: &str) {
        unset(&mut self.settings, key);
        self.write_config();
    }

    /// The names of the programs in one folder, such as `public`.
    pub fn programs_in(&self, folder: &str) -> Vec<String> {
        let parts = self.programs.0.iter().filter_map(|(place, _)| place.split_once('/'));
        parts.filter(|(its_folder, _)| *its_folder == folder).map(|(_, name)| name.to_owned()).collect()
    }

    /// The path of an installed program.
    pub fn program(&self, name: &str) -> PathBuf {
        let is_it = |place: &str| Path::new(place).file_name().is_some_and(|file| file == name);
        let (place, _) = self.programs.0.iter().find(|(place, _)| is_it(place)).unwrap_or_else(|| panic!("no program {name} in this site"));
        self.folder.join(place)
    }

    /// Runs a program with only these variables in its environment, as a CGI gateway does.
    pub fn run(&self, name: &str, variables: &[(&str, &str)], body: &[u8]) -> Output {
        self.run_with(name, &[], variables, body)
    }

    /// The same with arguments.
    pub fn run_with(&self, name: &str, arguments: &[&str], variables: &[(&str, &str)], body: &[u8]) -> Output {
        let mut command = Command::new(self.program(name));
        command.args(arguments).env_clear().envs(variables.iter().copied()).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("cannot run {name}: {cause}"));
        let mut input = child.stdin.take().expect("the input is piped");
        // A program may answer without reading its whole input.
        let _ = input.write_all(body);
        drop(input);
        child.wait_with_output().unwrap()
    }

    /// Runs `cron/cron` once, as the crontab line does.
    pub fn run_cron(&self) -> Output {
        self.run_cron_with(&[])
    }

    /// Runs `cron/cron`, which must find nothing that fails.
    pub fn let_cron_succeed(&self) {
        let run = self.run_cron();
        assert!(run.status.success(), "{run:?}");
    }

    /// Waits until the plain CGI programs of visitors have ended: they go on working after their answers. FastCGI programs, whose standard
    /// input is a socket, do not end.
    pub fn wait_for_programs(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let is_fastcgi =
                |pid: u32| fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|file| file.to_string_lossy().starts_with("socket:"));
            let running: Vec<_> = running_below(self.path()).into_iter().filter(|(pid, ..)| !is_fastcgi(*pid)).collect();
            if running.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "still running: {running:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `cron/cron` as an operator does.
    pub fn run_cron_with(&self, arguments: &[&str]) -> Output {
        self.run_with("cron", arguments, &[], b"")
    }

    fn write_config(&self) {
        let text = toml::to_string(&self.settings).expect("settings are TOML");
        fs::write(self.config_path(), text).unwrap();
    }
}

fn set(settings: &mut Table, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        settings.insert(key.to_owned(), value);
        return;
    };
    let inner = settings.entry(first).or_insert_with(|| Value::Table(Table::new()));
    set(inner.as_table_mut().unwrap_or_else(|| panic!("{first} is no table")), rest, value);
}

fn unset(settings: &mut Table, key: &str) {
    match key.split_once('.') {
        None => drop(settings.remove(key)),
        Some((first, rest)) => unset(settings.get_mut(first).and_then(Value::as_table_mut).expect("such a table"), rest),
    }
}

/// Makes a link to a program, or a copy on another file system. A symbolic link would not do, because a program looks for its
/// configuration relative to its real path.
///
/// `cp` does the copying, because a file that this process has open for writing cannot be executed, and a child started by
/// another thread at that moment would inherit the descriptor.
fn copy_program(program: &Path, place: &Path) {
    if fs::hard_link(program, place).is_ok() {
        return;
    }
    let done = Command::new("cp").arg(program).arg(place).status().expect("cp runs");
    assert!(done.success(), "cannot copy {} to {}", program.display(), place.display());
}
