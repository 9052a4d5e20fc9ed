//! The short way of README.md, word for word: on a clean Debian with systemd, nginx and cron, beside a real Synapse. Then the way
//! out of docs/uninstall.md.
//!
//! `make newcomer-test` builds the package and runs this as root. The container with Debian, the homeserver, the mail server and
//! the applicant have a network of their own, with loopback alone, in which example.org and its hosts are this machine.

use crate::engine::{DEBIAN, Engine, printed};
use crate::installation::run;
use crate::registration::Applicant;
use crate::world::process::guarded;
use crate::world::{Account, Browser, MailCatcher, Synapse};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const README: &str = include_str!("../../README.md");
const UNINSTALL: &str = include_str!("../../docs/uninstall.md");
const IMAGE: &str = "localhost/newcomer:here";
const NAME: &str = "newcomer";
/// What stands in the README for the secrets that only the newcomer knows.
const MAIL_PASSWORD: (&str, &str) = ("password = \"...\"", "the password of the mail account");
/// A Debian server as somebody has it who already runs a homeserver.
const CONTAINERFILE: &str = "
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
    systemd systemd-sysv dbus sudo nginx-light cron tzdata adduser ca-certificates
RUN useradd --create-home --shell /bin/bash ada && echo 'ada ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ada
CMD [\"/sbin/init\"]
";
const GOAL: Duration = Duration::from_secs(5 * 60);

#[test]
#[ignore = "long, and for root: make newcomer-test"]
fn a_newcomer_who_follows_the_readme_has_a_sign_up_that_works() {
    let engine = Engine::new();
    let hosts = engine.folder().join("hosts");
    fs::write(engine.folder().join("Containerfile"), format!("FROM {DEBIAN}{CONTAINERFILE}")).unwrap();
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    fs::write(&hosts, format!("127.0.0.1 localhost {} example.org register.example.org mail.example.org\n", machine.trim())).unwrap();
    make_certificates(engine.folder());
    let mut build = engine.command("buildah");
    build.args(["build", "--isolation", "chroot", "--network", "host", "-t", IMAGE, "-f"]).arg(engine.folder().join("Containerfile"));
    println!("buildah build ...");
    run({
        build.arg(engine.folder());
        build
    });

    let alone = "ip link set lo up && mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let mut command = guarded("unshare");
    command.args(["--net", "--mount", "--", "sh", "-c", alone]).arg(&hosts);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world/start-synapse"));
    command.args(["run", "--server-name", "example.org", "--port", "8008", "--bare", "--"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "newcomer::alone_in_the_network", "--ignored", "--nocapture"]);
    command.env("NEWCOMER_FOLDER", engine.folder()).stdin(Stdio::null());
    assert!(command.status().unwrap().success());
}

/// A certificate for all hosts, of an authority of its own.
fn make_certificates(folder: &Path) {
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(line.split(' '));
        run(command);
    };
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("{new} -subj /CN=authority -keyout authority.key -out authority.pem"));
    openssl(&format!(
        "{new} -subj /CN=example.org -addext subjectAltName=DNS:example.org,DNS:register.example.org,DNS:mail.example.org \
         -addext basicConstraints=critical,CA:FALSE -CA authority.pem -CAkey authority.key -keyout privkey.pem -out fullchain.pem"
    ));
}

#[test]
#[ignore = "run by a_newcomer_who_follows_the_readme_has_a_sign_up_that_works"]
fn alone_in_the_network() {
    let folder = PathBuf::from(std::env::var_os("NEWCOMER_FOLDER").expect("run make newcomer-test"));
    let engine = Engine::of(&folder);
    let (synapse, bot) = homeserver();
    let place = |name: &str| folder.join(name).display().to_string();
    let login = format!("register@example.org:{}", MAIL_PASSWORD.1);
    let mails = MailCatcher::start_with(&[
        "--port=587",
        "--starttls",
        "--auth",
        &login,
        "--certificate",
        &place("fullchain.pem"),
        "--key",
        &place("privkey.pem"),
    ]);
    let server = Server::start(&engine);

    // 1. The room.
    let room = synapse.create_room_of(&synapse.alice, &[]);
    synapse.invite(&room, &synapse.alice, &bot);
    // 2. to 5. What the README says, with what only the newcomer knows put in.
    let mine = [
        ("the one of homeserver.yaml", synapse.shared_secret.as_str()),
        ("!abcdef:example.org", room.as_str()),
        (MAIL_PASSWORD.0, &format!("password = {:?}", MAIL_PASSWORD.1)),
    ];
    let (mut taken, mut is_checked) = (Duration::ZERO, false);
    for step in steps(section(README, "\n## Set it up\n", "\n## ")) {
        let start = Instant::now();
        match step {
            Step::File { path, content } => {
                server.write(&path, &mine.iter().fold(content, |text, (theirs, ours)| text.replace(theirs, ours)))
            }
            // Compiling takes its own time: docs/performance.md.
            Step::Command(line) if line == "make deb" => continue,
            Step::Command(line) if line.ends_with("matrix-register-bot check") => {
                only_cron_is_not_right_yet(&server.try_to(&line).1);
                is_checked = true;
            }
            Step::Command(line) => server.run(&line),
        }
        taken += start.elapsed();
    }
    println!("the commands took {:.1} s", taken.as_secs_f64());
    assert!(is_checked && taken < GOAL, "{taken:?}");

    let authority = fs::read_to_string(folder.join("authority.pem")).unwrap();
    let browser = Browser::trusting("https://register.example.org/", &authority);
    Applicant::asks(&browser, &synapse, &room, &mails).gets_an_account();
    server.is_all_right_after_cron();

    for (start, end) in [("\n## 1. ", "\n## "), ("\n### The package\n", "\n### ")] {
        for step in steps(section(UNINSTALL, start, end)) {
            match step {
                Step::Command(line) => server.run_as_root(&line),
                Step::File { path, .. } => panic!("no file is expected: {path}"),
            }
        }
    }
    server.is_as_before();
}

fn section<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    page.split_once(start).and_then(|(_, rest)| rest.split(end).next()).unwrap_or_else(|| panic!("no {start:?}"))
}

/// A homeserver with alice, who decides, and without an account for the bot.
fn homeserver() -> (Synapse, Account) {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run make newcomer-test"));
    let nobody = |localpart: &str| Account {
        localpart: localpart.to_owned(),
        user_id: format!("@{localpart}:example.org"),
        password: String::new(),
        token: String::new(),
    };
    let mut synapse = Synapse {
        base_url: variable("MX_BASE_URL"),
        server_name: variable("MX_SERVER_NAME"),
        shared_secret: variable("MX_SHARED_SECRET"),
        room: String::new(),
        admin: nobody("admin"),
        bot: nobody("register_bot"),
        alice: nobody("alice"),
        bob: nobody("bob"),
    };
    synapse.alice = synapse.register("alice", "a password of alice");
    let bot = synapse.bot.clone();
    (synapse, bot)
}

fn only_cron_is_not_right_yet(said: &str) {
    println!("{said}");
    let wrong: Vec<_> = said.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(wrong.iter().all(|line| line.starts_with("WRONG    cron ")), "{said}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() > 8, "{said}");
}

/// A step of a page.
enum Step {
    Command(String),
    /// A fenced block, and the file that the text before it names.
    File {
        path: String,
        content: String,
    },
}

/// The blocks of a section, in their order, without the output that is shown.
fn steps(section: &str) -> Vec<Step> {
    let (mut steps, mut path) = (Vec::new(), String::new());
    let mut lines = section.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(named) = line.split('`').find(|part| part.starts_with("/etc/")) {
            path = named.to_owned();
        }
        if line.starts_with("```") {
            let content = lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |text, line| text + line + "\n");
            steps.push(Step::File { path: path.clone(), content });
        } else if let Some(first) = line.strip_prefix("    ") {
            let more = std::iter::from_fn(|| lines.next_if(|line| line.starts_with("    ")).map(|line| line[4..].to_owned()));
            let block: Vec<String> = std::iter::once(first.to_owned()).chain(more).collect();
            if !first.starts_with("ok ") {
                steps.extend(block.into_iter().map(Step::Command));
            }
        }
    }
    steps
}

/// The container with systemd in it, in which ada works.
struct Server<'a> {
    engine: &'a Engine,
}

impl Server<'_> {
    /// systemd needs CAP_SYS_ADMIN to give each service its own view of the files.
    fn start(engine: &Engine) -> Server<'_> {
        let (name, volume) = (format!("--name={NAME}"), format!("--volume={}:/given:ro", engine.folder().display()));
        let packages = format!("--volume={}/target/packages:/packages:ro", env!("CARGO_MANIFEST_DIR"));
        let limits = ["--ulimit=nofile=1024:4096", "--ulimit=nproc=4000:4000"];
        let rights = ["--systemd=always", "--cap-add=SYS_ADMIN", "--network=host"];
        let fixed = [&["run", "--detach", &name, &volume, &packages], limits.as_slice(), &rights, &[IMAGE]].concat();
        let started = engine.output(&fixed);
        assert!(started.status.success(), "{}", printed(&started));
        let server = Server { engine };
        let end = Instant::now() + Duration::from_secs(60);
        while !server.as_root("systemctl is-system-running --wait").1.contains("running") {
            assert!(Instant::now() < end, "{}", server.as_root("systemctl --failed").1);
            thread::sleep(Duration::from_millis(200));
        }
        server.has_what_the_readme_needs();
        server
    }

    /// The certificate for the host name, a web server that leads clients to the homeserver, and the package that was built.
    fn has_what_the_readme_needs(&self) {
        let (success, said) = self.as_root(
            "set -e
            cp /given/authority.pem /usr/local/share/ca-certificates/authority.crt && update-ca-certificates
            mkdir -p /etc/letsencrypt/live/register.example.org && cp /given/fullchain.pem /given/privkey.pem /etc/letsencrypt/live/register.example.org
            mkdir -p /home/ada/target/packages && cp /packages/matrix-register-bot_*-1_*.deb /home/ada/target/packages
            cat > /etc/nginx/sites-enabled/example.org <<'SITE'
server {
    listen 443 ssl;
    server_name example.org;
    ssl_certificate     /etc/letsencrypt/live/register.example.org/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/register.example.org/privkey.pem;
    location = /.well-known/matrix/client {
        default_type application/json;
        add_header Access-Control-Allow-Origin *;
        return 200 '{\"m.homeserver\": {\"base_url\": \"https://example.org\"}}';
    }
    location /_matrix { proxy_pass http://127.0.0.1:8008; }
}
SITE
            systemctl restart nginx",
        );
        assert!(success, "{said}");
    }

    fn as_root(&self, script: &str) -> (bool, String) {
        let output = self.engine.output(&["exec", NAME, "bash", "-c", script]);
        (output.status.success(), printed(&output))
    }

    /// A command as ada types it. She answers yes when apt asks.
    fn try_to(&self, line: &str) -> (bool, String) {
        println!("$ {line}");
        let script = "cd /home/ada && yes | runuser -u ada -- bash -c \"$1\"";
        let output = self.engine.output(&["exec", NAME, "bash", "-c", script, "bash", line]);
        (output.status.success(), printed(&output))
    }

    fn run(&self, line: &str) {
        let (success, said) = self.try_to(line);
        assert!(success, "{line}: {said}");
    }

    fn run_as_root(&self, line: &str) {
        println!("# {line}");
        let (success, said) = self.as_root(&format!("yes | {line}"));
        assert!(success, "{line}: {said}");
    }

    /// The web server starts and answers, and nothing of ours runs or is left.
    fn is_as_before(&self) {
        for line in [
            "nginx -t && systemctl restart nginx && systemctl is-active nginx",
            "exec 3<>/dev/tcp/127.0.0.1/443",
            "systemctl is-system-running",
            "test -z \"$(systemctl list-units --all --no-legend 'matrix-register-bot*')\"",
            "test -z \"$(find /etc /usr /var /run -name '*matrix-register-bot*' -not -path '/var/lib/apt/*' -not -path '/var/lib/dpkg/*')\"",
            "! getent passwd matrix-register-bot",
        ] {
            let (success, said) = self.as_root(line);
            assert!(success, "{line}: {said}");
        }
    }

    fn write(&self, path: &str, content: &str) {
        println!("> {path}");
        let file = self.engine.folder().join("file");
        fs::write(&file, content).unwrap();
        // As an editor saves it: the owner and the rights of an existing file stay.
        let (success, said) = self.as_root(&format!("cat /given/file > {path}"));
        assert!(success, "{path}: {said}");
    }

    fn is_all_right_after_cron(&self) {
        let end = Instant::now() + Duration::from_secs(330);
        loop {
            let (success, said) = self.as_root("runuser -u matrix-register-bot -- matrix-register-bot check");
            if success {
                println!("{said}");
                assert!(!said.contains("WRONG") && !said.contains("look at"), "{said}");
                return;
            }
            assert!(Instant::now() < end, "{said}");
            thread::sleep(Duration::from_secs(2));
        }
    }
}
