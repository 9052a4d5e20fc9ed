//! All programs are one executable. The name of its file decides which of them runs, and nothing that comes from outside.

use crate::world::{Browser, Host, Programs, SiteFolder, TempFolder, WebServer, built_programs, program_places};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_matrix-register-bot");

/// A site whose only program is the executable under a name that belongs to none of the programs.
fn nameless() -> SiteFolder {
    SiteFolder::new(&Programs::new([("public/nameless", EXECUTABLE)])).create()
}

fn shows_the_form(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).contains("name=\"username\"")
}

/// Web servers make arguments of a query without `=`.
#[test]
fn no_query_chooses_the_program() {
    for host in Host::ALL {
        let site = SiteFolder::new(&built_programs!()).create();
        let web = WebServer::start(&site, host);
        for query in ["", "?cron", "?login", "?--waiting", "?cron+--waiting", "?internal/login", "?matrix-register-bot", "?verify_admin+x"]
        {
            let page = Browser::new(&web.url()).get(&format!("/register{query}"));
            assert!(page.status == 200 && page.body.contains("name=\"username\""), "{host:?} {query}: {} {}", page.status, page.body);
        }
    }
}

#[test]
fn a_caller_who_gives_it_another_name_starts_the_program_of_the_file() {
    let site = SiteFolder::new(&built_programs!()).create();
    for name in program_places().into_iter().chain(["cron", "login", "", "/", "matrix-register-bot", "register "]) {
        let mut register = Command::new(site.program("register"));
        register.arg0(name).arg("--waiting").env_clear().env("REQUEST_METHOD", "GET");
        let output = register.output().unwrap();
        assert!(shows_the_form(&output), "{name}: {output:?}");
    }
}

#[test]
fn a_symbolic_link_is_a_name_as_well() {
    let site = SiteFolder::new(&built_programs!()).create();
    let folder = TempFolder::new("links");
    let nameless = nameless();
    // The file that Cargo makes has the name of the operator's command.
    for (file, folder) in [(nameless.program("nameless"), folder.join("one")), (EXECUTABLE.into(), folder.join("two"))] {
        std::fs::create_dir(&folder).unwrap();
        symlink(&file, folder.join("register")).unwrap();
        let mut register = Command::new(folder.join("register"));
        register.env_clear().env("REQUEST_METHOD", "GET").env("MATRIX_REGISTER_BOT_CONFIG", site.config_path());
        let output = register.output().unwrap();
        assert!(shows_the_form(&output), "{file:?}: {output:?}");
    }
}

#[test]
fn under_no_programs_name_it_says_how_it_is_used_and_does_nothing() {
    let nameless = nameless();
    for name in ["nameless", "register.new", "index.php", "", "/"] {
        let mut command = Command::new(nameless.program("nameless"));
        let output = command.arg0(name).arg("register").env_clear().env("REQUEST_METHOD", "GET").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(64), &[][..]), "{name}: {said}");
        assert!(program_places().iter().all(|place| said.contains(place.rsplit('/').next().unwrap())), "{said}");
    }
}
