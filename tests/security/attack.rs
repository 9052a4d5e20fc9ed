//! Scanners against a running site: `make attack`. Any finding fails the test, and so does any status of 500 or more.

use crate::the_story::{Story, decision_form, fresh};
use crate::world::{Host, TempFolder};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The modules of wapiti that contact only the site; others need a server of wapiti, or lists from the internet.
const MODULES: &str =
    "backup,blindsql,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,methods,permanentxss,redirect,shellshock,sql,xss";

/// Findings of wapiti that are no vulnerabilities here, with the reason.
const NO_FINDINGS: [(&str, &str, &str); 3] = [
    ("HTTP Secure Headers", "Strict-Transport-Security", "the site of the test has no TLS; the header is the web server's"),
    ("HTTP Secure Headers", "X-XSS-Protection", "a filter that browsers have removed; the Content-Security-Policy forbids scripts"),
    ("Cross Site Request Forgery", "Lack of anti CSRF token", "it knows tokens by a list of names; buttons.rs shows that ours is wanted"),
];

/// A request for sqlmap to modify: its URL, its body, and words that must not appear in the answer.
struct Target {
    name: &'static str,
    url: String,
    body: Option<String>,
}

struct Attacked {
    story: Story,
    verify: String,
    admin: String,
    reports: TempFolder,
}

impl Attacked {
    /// A site with one person who has to confirm, one who awaits a decision, and one who has an account.
    fn start() -> Attacked {
        let story = Story::start("local", Host::NginxFastCgi);
        let (ada, eve, user) = (fresh("ada"), fresh("eve"), fresh("user"));
        story.ask_and_confirm(&user);
        let page = story.browser.get(&story.room_message(&user).link());
        assert_eq!(story.browser.submit(&decision_form(&page, "approve", "")).status, 200);
        story.ask(&ada);
        story.ask_and_confirm(&eve);
        let token = |link: &str| link.split("t=").nth(1).unwrap().to_owned();
        let (verify, admin) = (token(&story.verify_mail(&ada).link()), token(&story.room_message(&eve).link()));
        Attacked { story, verify, admin, reports: TempFolder::new("reports") }
    }

    fn targets(&self) -> Vec<Target> {
        let (world, internal) = (self.story.web.url(), self.story.web.internal_url());
        let form_token = |path: &str| self.story.browser.get(path).form().value("form_token").to_owned();
        let get = |name, path: String| Target { name, url: format!("{world}{path}"), body: None };
        let post = |name, path: &str, body: String| Target { name, url: format!("{world}{path}"), body: Some(body) };
        let json = |name, path: &str, body: Value| Target { name, url: format!("{internal}internal/{path}"), body: Some(body.to_string()) };
        let (verify, admin) = (&self.verify, &self.admin);
        let register = format!(
            "form_token={}&first_name=Mallory&last_name=M&username=mallory&email=mallory%40example.org&note=hello",
            form_token("/register")
        );
        vec![
            post("register", "register", format!("{register}&action=send")),
            post("register, check", "register", format!("{register}&action=check")),
            get("verify, page", format!("verify?t={verify}&lang=en")),
            // With a wrong form token the target does not change; the link is looked up before.
            post("register, mail again", "register", format!("t={verify}&form_token=x&round=0&email=mallory%40example.org")),
            post("reset_password, button", "reset_password", format!("form_token={}&account=ada", form_token("/reset_password"))),
            get("reset_password, page", format!("reset_password?t={verify}&lang=en")),
            post("verify, button", "verify", format!("t={verify}&form_token=x")),
            get("verify_admin, page", format!("verify_admin?t={admin}&d=allow&lang=de")),
            post("verify_admin, button", "verify_admin", format!("t={admin}&form_token={}&decision=perhaps&reason=because", form_token(&format!("/verify_admin?t={admin}")))),
            json("login", "login", serde_json::json!({"user": {"id": "@ada:example.test", "password": "secret"}})),
            json("directory_search", "directory_search", serde_json::json!({"by": "name", "search_term": "ada"})),
            json("identity_single", "identity_single", serde_json::json!({"lookup": {"medium": "email", "address": "ada@example.org"}})),
            json("identity_bulk", "identity_bulk", serde_json::json!({"lookup": [{"medium": "email", "address": "ada@example.org"}]})),
            json("profile", "profile/displayName", serde_json::json!({"mxid": "@ada:example.test", "localpart": "ada", "domain": "example.test"})),
            post(
                "password change",
                "_matrix/client/v3/account/password",
                serde_json::json!({"new_password": "secret secret", "auth": {"type": "m.login.password", "user": "ada", "password": "secret", "session": "x"}}).to_string(),
            ),
        ]
    }

    fn run(&self, name: &str, command: &mut Command) -> String {
        let start = Instant::now();
        command.env("HOME", self.reports.path()).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|cause| panic!("{name}: {cause}; run tests/world/install attack"));
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{name}: {:.0?}", start.elapsed());
        text
    }

    /// The number of requests so far, and those answered with 5xx.
    fn requests(&self) -> (usize, Vec<String>) {
        let log = fs::read_to_string(self.story.web.log_path().with_file_name("access.log")).unwrap();
        let failed = |line: &&str| line.split("\" 5").count() > 1;
        (log.lines().count(), log.lines().filter(failed).map(str::to_owned).collect())
    }

    fn check(&self, scanner: &str) {
        let (count, failed) = self.requests();
        println!("{scanner}: {count} requests so far, {} of them answered 5xx", failed.len());
        assert!(failed.is_empty(), "{failed:#?}\n{}", self.story.web.log());
    }
}

#[test]
#[ignore = "a quarter of an hour: make attack"]
fn sqlmap_finds_nothing() {
    let site = Attacked::start();
    for target in site.targets() {
        let mut sqlmap = Command::new("sqlmap");
        sqlmap.args(["--batch", "--level=2", "--risk=2", "--flush-session", "--disable-coloring", "--ignore-code=401", "--timeout=60"]);
        sqlmap.arg("--output-dir").arg(site.reports.path()).args(["-u", &target.url]);
        if let Some(body) = &target.body {
            sqlmap.args(["--data", body]);
        }
        let said = site.run(&format!("sqlmap, {}", target.name), &mut sqlmap);
        assert!(said.contains("do not appear to be injectable"), "{}: {said}", target.name);
        for word in ["is vulnerable", "injection point(s)", "might be injectable", "is dynamic' with"] {
            assert!(!said.contains(word), "{}: {said}", target.name);
        }
    }
    site.check("sqlmap");
}

#[test]
#[ignore = "some minutes: make attack"]
fn wapiti_finds_nothing() {
    let site = Attacked::start();
    let (world, internal) = (site.story.web.url(), site.story.web.internal_url());
    for (name, url) in [
        ("register", format!("{world}register?lang=en")),
        ("verify", format!("{world}verify?t={}&lang=en", site.verify)),
        ("verify_admin", format!("{world}verify_admin?t={}&d=allow&lang=en", site.admin)),
        ("login", format!("{internal}internal/login?x=1")),
        ("directory_search", format!("{internal}internal/directory_search?x=1")),
    ] {
        let report = site.reports.join(format!("{name}.json"));
        let mut wapiti = Command::new("wapiti");
        // Only the one URL with the forms: the page in the other language is the same program.
        wapiti.args(["-u", &url, "--scope", "url", "-m", MODULES, "-f", "json", "--no-bugreport", "--flush-session"]);
        let seconds = std::env::var("ATTACK_SECONDS").unwrap_or_else(|_| "240".to_owned());
        wapiti.args(["-l", "1", "--max-attack-time", &seconds, "-o"]).arg(&report);
        wapiti.arg("--store-session").arg(site.reports.path()).arg("--store-config").arg(site.reports.path());
        let said = site.run(&format!("wapiti, {name}"), &mut wapiti);
        let report = fs::read_to_string(&report).unwrap_or_else(|cause| panic!("no report: {cause}\n{said}"));
        let findings = findings(&serde_json::from_str(&report).unwrap());
        assert!(findings.is_empty(), "{findings:#?}");
    }
    site.check("wapiti");
}

/// Vulnerabilities and anomalies in a report, without the known false ones.
fn findings(report: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["vulnerabilities", "anomalies"] {
        for (name, list) in report[kind].as_object().unwrap_or_else(|| panic!("no {kind} in {report}")) {
            for finding in list.as_array().unwrap() {
                let what = finding["info"].as_str().unwrap_or("");
                match NO_FINDINGS.iter().find(|(known, part, _)| known == name && what.contains(part)) {
                    Some((_, _, why)) => println!("not a finding: {name}, {what}: {why}"),
                    None => found.push(format!("{name}: {finding}")),
                }
            }
        }
    }
    found
}
