//! The package in a clean Debian: installed by apt, configured, used, upgraded under load, removed, purged.
//!
//! `make package-test` builds the two packages and runs this as root. systemd cannot run in there, so the programs are started
//! as its units say.

use crate::debian::{Debian, USER, install, package};
use crate::installation::{CONFIG, configure, inside, run, setting, start_nginx, start_services};
use crate::left_behind::remove_and_purge;
use crate::registration::Applicant;
use crate::world::{Browser, MailCatcher, Synapse, free_port, program_places, programs_of};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
#[ignore = "long, and for root: make package-test"]
fn in_a_clean_debian_it_installs_serves_upgrades_and_leaves_no_trace() {
    let (first, second) = (package(1), package(2));
    println!("{}, then {}", first.display(), second.display());
    let debian = Debian::new();
    let log = debian.root.join("log");
    debian.run("apt-get install -y --no-install-recommends nginx-light");
    let said = install(&debian, 1);
    for next in ["What to do next", "private room without encryption", "systemctl enable --now", "matrix-register-bot check"] {
        assert!(said.contains(next), "{next} in {said}");
    }
    everything_is_in_its_place(&debian);

    let (synapse, mails, port) = (Synapse::shared(), MailCatcher::start(), free_port());
    let room = synapse.create_room();
    configure(&debian.root.join(CONFIG), port, &synapse, &room, &mails);
    assert_eq!(debian.owned("/etc/matrix-register-bot/config.toml"), "640:root:matrix-register-bot", "as the sysadmin left it");
    let mut services = start_services(debian.path(), &log, &|program| debian.command_of_user(program));
    give_sockets_to_the_web_server(&debian);
    fs::remove_file(debian.root.join("etc/nginx/sites-enabled/default")).unwrap();
    let server = format!("server {{ listen 127.0.0.1:{port}; include /etc/matrix-register-bot/nginx/pages*.conf; }}\n");
    fs::write(debian.root.join("etc/nginx/sites-enabled/register"), server).unwrap();
    debian.run("nginx -t");
    let mut nginx = debian.command("nginx");
    nginx.args(["-g", "daemon off;"]);
    let nginx = start_nginx(nginx, port, &log);

    let browser = Browser::new(&format!("http://127.0.0.1:{port}/"));
    Applicant::asks(&browser, &synapse, &room, &mails).gets_an_account();
    cron_and_plain_cgi_work(&debian);

    let waiting = Applicant::asks(&browser, &synapse, &room, &mails);
    upgrade_under_load(&debian, &browser, &log);
    let links = debian.run("stat -c %h /usr/lib/matrix-register-bot/public/register");
    assert_eq!(links.trim(), program_places().len().to_string(), "the first package has a file for each program, this one a link");
    waiting.gets_an_account();
    Applicant::asks(&browser, &synapse, &room, &mails).gets_an_account();

    drop(nginx);
    services.iter_mut().for_each(|service| service.stop());
    remove_and_purge(&debian);
}

fn everything_is_in_its_place(debian: &Debian) {
    for (path, owned) in [
        ("/etc/matrix-register-bot", "750:root:matrix-register-bot"),
        ("/etc/matrix-register-bot/config.toml", "640:root:matrix-register-bot"),
        ("/var/lib/matrix-register-bot", "750:matrix-register-bot:matrix-register-bot"),
        ("/etc/cron.d/matrix-register-bot", "644:root:root"),
        ("/usr/lib/matrix-register-bot/public/register", "755:root:root"),
        ("/usr/lib/matrix-register-bot/internal/login", "755:root:root"),
        ("/usr/lib/systemd/system/matrix-register-bot-public@.socket", "644:root:root"),
    ] {
        assert_eq!(debian.owned(path), owned, "{path}");
    }
    let manual = debian.run("dpkg-query -L matrix-register-bot");
    for page in [
        "man1/matrix-register-bot-check.1",
        "man5/matrix-register-bot.toml.5",
        "man8/matrix-register-bot.8",
        "man8/matrix-register-bot-cron.8",
    ] {
        assert!(manual.contains(page), "{page} in {manual}");
    }
    // The content of the package is what make install lays out.
    let laid_out = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/package");
    let mut find = Command::new("find");
    find.current_dir(laid_out).args([".", "-type", "f", "-printf", "/%P\n"]);
    for file in run(find).lines().filter(|file| !file.starts_with("/usr/share/man")) {
        assert!(manual.lines().any(|line| line == file), "{file} is not in the package");
    }
    assert_eq!(debian.run("getent passwd matrix-register-bot").trim().rsplit(':').next(), Some("/usr/sbin/nologin"));
    let settings = debian.run("dpkg-query -W -f ${Conffiles} matrix-register-bot");
    assert!(settings.contains("/etc/cron.d/matrix-register-bot ") && settings.contains("/apache/homeserver.conf "), "{settings}");
}

/// Sets the owner of the sockets as the socket unit does.
fn give_sockets_to_the_web_server(debian: &Debian) {
    let unit = |key| setting(debian.path(), "matrix-register-bot-public@.socket", "", key);
    for name in programs_of("public") {
        let socket = format!("/run/matrix-register-bot/{name}.socket");
        debian.run(&format!("chown {}:{} {socket}", unit("SocketUser"), unit("SocketGroup")));
        debian.run(&format!("chmod {} {socket}", unit("SocketMode")));
    }
}

fn cron_and_plain_cgi_work(debian: &Debian) {
    let line = fs::read_to_string(debian.root.join("etc/cron.d/matrix-register-bot")).unwrap();
    let (_, told) = line.lines().last().and_then(|line| line.split_once(&format!(" {USER} "))).expect("a line for the user");
    let run_line = || {
        let mut cron = debian.command_of_user("sh");
        cron.args(["-c", told]);
        run(cron)
    };
    let first = run_line();
    assert!(first.lines().all(|line| line.contains("address_not_bound")), "the bot is no server administrator, and nothing else: {first}");
    assert_eq!(run_line(), "", "cron is silent where all is well");
    let mut cron = debian.command_of_user("/usr/lib/matrix-register-bot/cron/cron");
    cron.arg("-v");
    assert!(run(cron).contains("0 failed"));

    let mut cgi = debian.command_of_user("env");
    cgi.args(["REQUEST_METHOD=GET", "REMOTE_ADDR=127.0.0.1", "/usr/lib/matrix-register-bot/public/register"]);
    let answer = run(cgi);
    assert!(answer.starts_with("Status: 200") && answer.contains("<form"), "{answer}");
}

/// Visitors request the form all the time while the package is upgraded, until all programs have handed over.
fn upgrade_under_load(debian: &Debian, browser: &Browser, log: &Path) {
    let before = fs::metadata(inside(debian.path(), "/usr/lib/matrix-register-bot/public/register")).unwrap().ino();
    let handed_over = || fs::read_to_string(log).unwrap_or_default().lines().filter(|line| line.contains(" upgraded")).count();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let served = std::thread::scope(|scope| {
        let visitors: Vec<_> = programs_of("public")
            .into_iter()
            .map(|program| {
                let address = format!("/{program}?t=x");
                let (done, asked) = (&done, &asked);
                scope.spawn(move || {
                    let mut served = 0;
                    while !done.load(Ordering::Relaxed) {
                        // The page for an unknown link also comes from our program.
                        let page = browser.get(&address);
                        assert!(
                            page.header("content-security-policy").is_some() && page.status < 500,
                            "{address}: {} {}",
                            page.status,
                            page.body
                        );
                        served += 1;
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    served
                })
            })
            .collect();
        let said = install(debian, 2);
        let end = Instant::now() + Duration::from_secs(30);
        while handed_over() < programs_of("public").len() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
        let enough = asked.load(Ordering::Relaxed) + 100;
        while asked.load(Ordering::Relaxed) < enough && !visitors.iter().any(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(20));
        }
        done.store(true, Ordering::Relaxed);
        assert!(!said.contains("What to do next"), "an upgrade asks for nothing: {said}");
        visitors.into_iter().map(|visitor| visitor.join().expect("no request is lost")).collect::<Vec<usize>>()
    });
    println!("served during the upgrade: {served:?}");
    assert_eq!(handed_over(), programs_of("public").len(), "{}", fs::read_to_string(log).unwrap_or_default());
    assert!(served.iter().all(|served| *served > 10), "{served:?}");
    let after = fs::metadata(inside(debian.path(), "/usr/lib/matrix-register-bot/public/register")).unwrap().ino();
    assert_ne!(before, after);
    assert_eq!(debian.owned("/etc/matrix-register-bot/config.toml"), "640:root:matrix-register-bot");
    assert!(debian.run("dpkg-query -W matrix-register-bot").contains("-2"));
}
