//! `matrix-register-bot user`: what the operator does with the accounts of local mode.

use crate::operator::{NOWHERE, json, refusal, run, says};
use crate::world::{Engine, Host, Synapse, cheap_hash, on_every_database};
use crate::{Story, address_of, fresh, now};
use serde_json::{Value, json as object};

const PASSWORD: &str = "a Bätterie of horses";

fn account(story: &Story, name: &str, (first, last): (&str, &str), address: &str) {
    use matrix_register_bot::domain::address::Address;
    use matrix_register_bot::domain::config::Config;
    use matrix_register_bot::outside::site::Site;
    use matrix_register_bot::outside::store::{Access, NewLogin};
    let login = NewLogin {
        localpart: name.into(),
        first_name: first.into(),
        last_name: last.into(),
        password_hash: cheap_hash(PASSWORD),
        email: address.into(),
        email_folded: Address::parse(address).unwrap().folded(),
        created_at: now(),
        initial_password_until: None,
    };
    let site = Site::new(Config::load(&story.site.config_path()).unwrap(), now);
    site.store(Access::Write).unwrap().import_login(&login).unwrap();
}

/// The answer of an internal program.
fn asked(story: &Story, program: &str, body: Value) -> (String, Value) {
    let body = body.to_string();
    let length = body.len().to_string();
    let variables = [
        ("CONTENT_LENGTH", &*length),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REQUEST_METHOD", "POST"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("CONTENT_TYPE", "application/json"),
    ];
    let run = story.site.run(program, &variables, body.as_bytes());
    let answer = String::from_utf8(run.stdout).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").or_else(|| answer.split_once("\n\n")).unwrap_or_else(|| panic!("{answer}"));
    (head.to_owned(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

fn is_let_in(story: &Story, name: &str) -> bool {
    let user = object!({"id": story.synapse.user_id(name), "password": PASSWORD});
    asked(story, "login", object!({ "user": user })).1["auth"]["success"] == true
}

/// Whether an account is let in, by each way in; and whether it is shown, by each way of looking.
fn is_alive(story: &Story, name: &str) -> [bool; 7] {
    let (mxid, address) = (story.synapse.user_id(name), address_of(name));
    let identity_server =
        asked(story, "login", object!({"auth": {"mxid": mxid, "localpart": name, "domain": "example.test", "password": PASSWORD}})).1;
    let auth = object!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": PASSWORD});
    let changed = asked(story, "intercept_change_password", object!({"new_password": PASSWORD, "auth": auth})).1;
    let found = asked(story, "directory_search", object!({"by": "name", "search_term": name})).1;
    let single = asked(story, "identity_single", object!({"lookup": {"medium": "email", "address": address}})).1;
    let bulk = asked(story, "identity_bulk", object!({"lookup": [{"medium": "email", "address": address}]})).1;
    let profile = asked(story, "profile", object!({"mxid": mxid})).1;
    [
        is_let_in(story, name),
        identity_server["auth"]["success"] == true,
        changed == object!({}),
        found.to_string().contains(name),
        single["lookup"].is_object(),
        bulk["lookup"].as_array().is_some_and(|found| !found.is_empty()),
        profile["profile"]["display_name"].is_string(),
    ]
}

fn a_disabled_account_is_let_in_nowhere_and_shown_to_nobody_until_it_is_enabled(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let (ada, link) = (fresh("ada"), |number: usize, name: &str| story.mails.wait_for(&address_of(name), number)[number - 1].link());
    account(&story, &ada, ("Ada", "Lovelace"), &address_of(&ada));
    assert_eq!(is_alive(&story, &ada), [true; 7]);
    says(&story, &["user", "reset", &ada]);
    let before = link(1, &ada);
    assert!(says(&story, &["user", "disable", &ada]).contains("is disabled"));
    assert_eq!(story.browser.get(&before).status, 404, "a link that was mailed before sets no password");
    assert_eq!(is_alive(&story, &ada), [false; 7]);
    let (status, sentence) = refusal(&story, &["user", "reset", &ada]);
    assert!(status == Some(1) && sentence.contains("enable it first"), "{sentence}");
    assert_eq!(refusal(&story, &["user", "disable", &ada]).0, Some(1));
    let shown = json(&story, &["user", "show", &address_of(&ada)]);
    assert_eq!((shown["is_active"].as_bool(), shown["request"].is_null()), (Some(false), true), "{shown}");
    assert!(says(&story, &["user", "list", "--disabled"]).contains(&ada));

    says(&story, &["user", "enable", &story.synapse.user_id(&ada)]);
    assert_eq!(story.browser.get(&before).status, 404, "the old link stays dead");
    assert_eq!(is_alive(&story, &ada), [true; 7], "with the password that it had");
    assert_eq!(refusal(&story, &["user", "enable", &ada]).0, Some(1));
    assert_eq!(json(&story, &["user", "list", "--disabled"])["total"], 0);
    assert_eq!(refusal(&story, &["user", "disable", &fresh("nobody")]).0, Some(1));
}

fn the_operator_finds_accounts_by_a_part_of_name_or_address_page_by_page(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    for (name, person, address) in [
        ("a_lovelace", ("Ada", "Lovelace-Größe"), "ada@choir.example.net"),
        ("b-hopper", ("Grace", "Hopper"), "Grace.Hopper@Navy.example.net"),
        ("c100", ("Élodie", "Zhang"), "100%@example.net"),
        ("d.noether", ("Emmy\u{202e}", "Noether"), "emmy@choir.example.net"),
    ] {
        account(&story, name, person, address);
    }
    let found = |search: &[&str]| {
        let answer = json(&story, &[&["user", "list"], search].concat());
        let names = answer["accounts"].as_array().unwrap().iter().map(|account| account["username"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), answer["total"].as_i64().unwrap())
    };
    for (search, names) in [
        ("choir", &["a_lovelace", "d.noether"][..]),
        ("navy.EXAMPLE", &["b-hopper"]),
        ("lovelace-gross", &["a_lovelace"]),
        ("elodie", &["c100"]),
        ("opper", &["b-hopper"]),
        ("100%", &["c100"]),
        ("%", &["c100"]),
        ("_", &["a_lovelace"]),
        ("!", &[]),
        ("'; DROP TABLE logins; --", &[]),
    ] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found(&[search]), (names.clone(), names.len() as i64), "{search}");
    }
    assert_eq!(found(&["--per-page", "3"]).0, ["a_lovelace", "b-hopper", "c100"]);
    assert_eq!(found(&["--per-page", "3", "--page", "2"]), (vec!["d.noether".to_owned()], 4));
    let text = says(&story, &["user", "list", "--per-page", "3"]);
    assert!(text.contains("page 1 of 2, 4 accounts"), "{text}");
    let text = says(&story, &["user", "list"]);
    assert!(!text.contains('\u{202e}') && !text.contains("argon2") && text.lines().count() == 5, "{text}");
    assert_eq!(refusal(&story, &["user", "list", "--page", "0"]).0, Some(64));
}

fn the_operator_sees_where_an_account_came_from_and_never_its_hash(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    let shown = json(&story, &["user", "show", &ada]);
    assert_eq!(shown["request"], object!({"request": 1, "state": "done"}));
    assert!(shown["initial_password_until"].as_i64().is_some_and(|until| until > now()), "{shown}");
    let text = says(&story, &["user", "show", &ada]);
    assert!(
        text.contains("matrix-register-bot show 1") && text.contains("an initial password") && text.contains(&address_of(&ada)),
        "{text}"
    );
    assert!(!shown.to_string().contains("argon2") && !text.contains("argon2"));
    assert_eq!(refusal(&story, &["user", "show", "nobody"]).0, Some(1));
}

fn the_operator_mails_a_link_for_a_new_password_though_mail_server_and_homeserver_are_away(engine: Engine) {
    let mut story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    account(&story, &ada, ("Ada", ""), &address_of(&ada));
    let url = story.synapse.base_url.clone();
    story.site.set("homeserver_url", NOWHERE);
    story.site.set("mail.smtp.port", 9);
    let said = says(&story, &["user", "reset", &ada]);
    assert!(said.contains("as soon as the mail server"), "{said}");
    story.site.set("mail.smtp.port", i64::from(story.mails.port));
    story.sql("UPDATE password_resets SET due_at = 0");
    story.site.let_cron_succeed();
    let mail = story.mails.wait_for(&address_of(&ada), 1).remove(0);
    assert!(is_let_in(&story, &ada), "until the link is used, the old password stays");
    let form = story.browser.get(&mail.link()).form();
    let page = story.browser.submit(&form.fill("password", "another one that is long").fill("password_again", "another one that is long"));
    assert_eq!((page.status, is_let_in(&story, &ada)), (200, false), "{}", page.text());

    // The mail is sent although the devices cannot be logged out.
    let failed = run(&story, &["user", "reset", &ada, "--devices"]);
    let sentence = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(
        failed.status.code() == Some(75) && sentence.contains("is mailed") && sentence.contains("could not be logged out"),
        "{sentence}"
    );
    story.mails.wait_for(&address_of(&ada), 2);
    story.site.set("homeserver_url", url);
}

fn the_operator_forgets_an_account_and_only_its_owner(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let (ada, eve, family) = (fresh("ada"), fresh("eve"), format!("{}@example.net", fresh("family")));
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    story.ask(&eve);
    account(&story, &fresh("mother"), ("Mo", ""), &family);
    let child = fresh("child");
    account(&story, &child, ("Chi", ""), &family);
    let (status, sentence) = refusal(&story, &["user", "forget", &family]);
    assert!(status == Some(1) && sentence.contains("several accounts") && sentence.contains(&child), "{sentence}");
    assert!(says(&story, &["user", "forget", &child]).contains("1 accounts"));
    assert_eq!(story.number("SELECT COUNT(*) FROM logins"), 2);
    says(&story, &["user", "reset", &ada]);
    let said = says(&story, &["user", "forget", &address_of(&ada)]);
    assert!(said.contains("1 requests") && said.contains("1 accounts") && said.contains("the homeserver itself"), "{said}");
    for table in ["logins", "registrations"] {
        assert_eq!(story.number(&format!("SELECT COUNT(*) FROM {table}")), 1, "{table}: those of others are kept");
    }
    assert_eq!(story.number("SELECT COUNT(*) FROM reset_links"), 0);
    assert_eq!(refusal(&story, &["user", "forget", &ada]).0, Some(1));
}

/// More requests than are looked through for a request that is named by its address.
fn a_person_with_many_requests_is_forgotten_as_a_whole(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    story.sql("UPDATE registrations SET state = 14");
    let columns =
        "state, username, first_name, last_name, email, email_folded, note, language, password_chosen, requested_at, state_since, due_at";
    for number in 0..60 {
        let own = format!("'seed{number}', 'submission{number}', 'verify{number}', 'admin{number}', 'page{number}'");
        story.sql(&format!(
            "INSERT INTO registrations (seed, submission, verify_token_hash, admin_token_hash, page_token_hash, {columns})
             SELECT {own}, {columns} FROM registrations WHERE id = 1"
        ));
    }
    assert_eq!(json(&story, &["export", &address_of(&ada)])["requests"].as_array().map(Vec::len), Some(61));
    assert_eq!(json(&story, &["forget", &address_of(&ada)])["requests"], 61);
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations"), 0);
}

on_every_database! {
    a_disabled_account_is_let_in_nowhere_and_shown_to_nobody_until_it_is_enabled,
    the_operator_finds_accounts_by_a_part_of_name_or_address_page_by_page,
    the_operator_sees_where_an_account_came_from_and_never_its_hash,
    the_operator_mails_a_link_for_a_new_password_though_mail_server_and_homeserver_are_away,
    the_operator_forgets_an_account_and_only_its_owner,
    a_person_with_many_requests_is_forgotten_as_a_whole,
}

#[test]
fn a_disabled_account_is_logged_out_where_the_bot_may_do_that() {
    let admin = Synapse::shared().admin;
    let story = Story::start_with("local", Host::NginxCgi, |site| {
        site.set("room.bot_localpart", admin.localpart.clone()).set("room.access_token", admin.token.clone())
    });
    let ada = fresh("ada");
    account(&story, &ada, ("Ada", ""), &address_of(&ada));
    let token = story.synapse.register(&ada, "known to Synapse only").token;
    let lives = || story.synapse.call("GET", "/_matrix/client/v3/account/whoami", Some(&token), None).0 == 200;
    assert!(says(&story, &["user", "disable", &ada]).contains("--devices"));
    assert!(lives(), "its devices stay logged in");
    assert!(says(&story, &["user", "disable", &ada, "--devices"]).contains("logged out"));
    assert!(!lives());
}

#[test]
fn in_the_other_modes_the_command_names_the_tool_of_the_homeserver() {
    let mut story = Story::start("synapse", Host::NginxCgi);
    for (mode, tool) in [("synapse", "/_synapse/admin/v2/users"), ("registration_token", "admin room")] {
        story.site.set("operation_mode", mode);
        if mode == "registration_token" {
            story.site.set("registration_token.token", "x".repeat(20));
            story.site.set("credentials", "link");
        }
        let (status, sentence) = refusal(&story, &["user", "list"]);
        assert!(status == Some(1) && sentence.contains(mode) && sentence.contains(tool), "{status:?} {sentence}");
    }
}
