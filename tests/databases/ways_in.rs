use crate::look_up;
use crate::world::database::Server;
use crate::world::{Database, Engine, OwnServer, SiteBuilder, SiteFolder, TempFolder, built_programs, free_port};
use std::process::{Command, Output};
use url::Url;

fn site() -> SiteBuilder {
    SiteFolder::new(&built_programs!())
}

/// The URL without the password.
fn bare(url: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    url.set_password(None).unwrap();
    url.into()
}

fn works(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn socket_tcp_and_tls_lead_to_the_same_database(engine: Engine) {
    let database = Database::new(engine);
    for url in [database.url(), database.url_by_socket(), database.url_with_tls()] {
        let site = site().set("database", url.as_str()).create();
        works(&site.run_cron());
        assert_eq!(look_up(&site).0, 404, "{url}");
    }
    assert_eq!(database.rows("SELECT count(*) FROM schema_version"), [["1"]]);
}

fn the_password_may_stand_in_a_file_in_its_own_key_or_in_the_environment(engine: Engine) {
    let (database, password) = (Database::new(engine), Server::shared(engine).password);
    let without = site().set("database", bare(&database.url()));
    let mut site = without.create();
    works(&site.run("cron", &[("MATRIX_REGISTER_BOT_DATABASE_PASSWORD", &password)], b""));
    assert_eq!(site.run_cron().status.code(), Some(75), "it does want one");
    site.set("database_password", password.as_str());
    works(&site.run_cron());
    site.unset("database_password");
    site.set("database_password_file", "password");
    std::fs::write(site.path().join("password"), format!("{password}\n")).unwrap();
    works(&site.run_cron());
}

fn what_keeps_the_programs_out_is_told_in_the_log_without_the_password(engine: Engine) {
    let database = Database::new(engine);
    let change = |change: fn(&mut Url)| {
        let mut url = Url::parse(&database.url()).unwrap();
        change(&mut url);
        String::from(url)
    };
    for (url, status) in [
        (change(|url| url.set_password(Some("hunter2hunter2")).unwrap()), 500),
        (change(|url| url.set_path("no_such_database")), 500),
        (change(|url| url.set_port(Some(free_port())).unwrap()), 503),
        (change(|url| url.set_query(Some("socket=/nowhere/socket"))), 503),
    ] {
        let site = site().set("database", url.as_str()).create();
        let (answered, log) = look_up(&site);
        assert_eq!(answered, status, "{url}: {log}");
        let cron = site.run_cron();
        assert_eq!(cron.status.code(), Some(75), "{cron:?}");
        let said = log + &String::from_utf8_lossy(&cron.stdout) + &String::from_utf8_lossy(&cron.stderr);
        assert_eq!(said.matches("see the key database in config.toml").count(), 2, "{said}");
        let password = Server::shared(engine).password;
        let written = Url::parse(&url).unwrap().password().unwrap().to_owned();
        assert!(!said.contains(&password) && !said.contains(&written), "{said}");
    }
}

fn a_certificate_that_does_not_prove_the_server_is_refused(engine: Engine) {
    let database = Database::new(engine);
    let folder = TempFolder::new("authority");
    let other = folder.join("other.pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=Another authority", "-keyout", "/dev/null", "-out"]).arg(&other);
    works(&openssl.output().unwrap());
    let right = Server::shared(engine).ca.display().to_string();
    let url = database.url_with_tls();
    for (what, url) in [
        ("another authority", url.replace(&right, &other.display().to_string())),
        ("no authority that the system knows", url.replace(&format!("&ca_file={right}"), "")),
    ] {
        is_refused(what, &url);
    }
}

fn is_refused(what: &str, url: &str) {
    let (status, log) = look_up(&site().set("database", url).create());
    assert_eq!(status, 500, "{what}: {log}");
    for word in ["ca_file", "tls", "key database"] {
        assert!(log.contains(word), "{what}: {word} in {log}");
    }
}

fn a_certificate_for_another_name_is_refused(engine: Engine) {
    let mut own = OwnServer::start(engine);
    let database = own.database();
    works(&site().set("database", database.url_with_tls()).create().run_cron());
    own.stop();
    // The same authority signs a certificate for another host; the file keeps its owner.
    let script = "openssl req -new -key $0/server.key -subj /CN=db.example.org |
                  openssl x509 -req -CA ca.pem -CAkey ca.key -set_serial 7 -days 2 -extfile name > new && cat new > $0/server.pem";
    std::fs::write(own.folder().join("name"), "subjectAltName=DNS:db.example.org\n").unwrap();
    works(&Command::new("sh").args(["-ec", script, engine.name()]).current_dir(own.folder()).output().unwrap());
    own.start_again();
    is_refused("another name", &database.url_with_tls());
}

#[test]
fn a_mariadb_user_with_ed25519_gets_in() {
    let database = Database::new(Engine::Mariadb);
    let (user, name) = (format!("ed_{}", database.name()), database.name());
    database.sql("INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'");
    database.sql(&format!("CREATE USER {user}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('a long secret')"));
    database.sql(&format!("GRANT ALL ON {name}.* TO {user}@'%'"));
    for (password, status) in [("a long secret", 404), ("another one", 500)] {
        let mut url = Url::parse(&database.url()).unwrap();
        url.set_username(&user).unwrap();
        url.set_password(Some(password)).unwrap();
        let site = site().set("database", url.as_str()).create();
        let cron = site.run_cron();
        let (answered, log) = look_up(&site);
        assert_eq!(answered, status, "{log}");
        let said = log + &String::from_utf8_lossy(&cron.stderr);
        assert!(!said.contains("panic") && !said.contains("did not answer"), "{said}");
    }
    database.sql(&format!("DROP USER {user}@'%'"));
}

on_every_server! {
    socket_tcp_and_tls_lead_to_the_same_database,
    the_password_may_stand_in_a_file_in_its_own_key_or_in_the_environment,
    what_keeps_the_programs_out_is_told_in_the_log_without_the_password,
    a_certificate_that_does_not_prove_the_server_is_refused,
    a_certificate_for_another_name_is_refused,
}
