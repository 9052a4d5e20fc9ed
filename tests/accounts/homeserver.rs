//! A homeserver that leaves passwords to us: Synapse with our module, which asks a site in local mode.

use crate::table::{address_of, sql};
use crate::world::{self, Browser, Form, Host, MailCatcher, OwnSynapse, SiteBuilder, SiteFolder, Synapse, WebServer};

const OUR_MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/synapse");

/// The section of our own module in `homeserver.yaml`.
fn our_module(endpoint: &str) -> String {
    format!(r#"modules=[{{"module": "matrix_register_bot_synapse.RegisterBotPasswords", "config": {{"endpoint": "{endpoint}"}}}}]"#)
}

/// Everything except for the web server, which the tests start.
pub struct Homestead {
    pub site: SiteFolder,
    pub mails: MailCatcher,
    own: OwnSynapse,
}

impl Homestead {
    /// Starts Synapse with our own module.
    pub fn start() -> Homestead {
        Homestead::start_with(OUR_MODULE, our_module)
    }

    /// Starts Synapse with our own module and without its own table of passwords.
    pub fn start_without_password_table() -> Homestead {
        Homestead::start_set(OUR_MODULE, our_module, &["--set", r#"password_config={"localdb_enabled": false}"#])
    }

    /// Starts Synapse with a module from a folder; `setting` is its section in `homeserver.yaml`.
    pub fn start_with(folder: &str, setting: impl FnOnce(&str) -> String) -> Homestead {
        Homestead::start_set(folder, setting, &[])
    }

    fn start_set(folder: &str, setting: impl FnOnce(&str) -> String, more: &[&str]) -> Homestead {
        let (builder, mails) = (SiteFolder::new(&world::built_programs!()), MailCatcher::start());
        let setting = setting(&format!("http://127.0.0.1:{}", builder.internal_port));
        let own = OwnSynapse::start(&[&["--pythonpath", folder, "--set", &setting], more].concat());
        let site = connected(builder, &own.synapse, &mails).create();
        Homestead { site, mails, own }
    }

    pub fn synapse(&self) -> &Synapse {
        &self.own.synapse
    }

    pub fn serve(&self, host: Host) -> WebServer {
        WebServer::start(&self.site, host)
    }

    /// A stranger applies, confirms and is approved. Returns the initial password from the mail.
    pub fn sign_up(&self, web: &WebServer, localpart: &str) -> String {
        self.sign_up_until_the_approval(web, localpart, |form| form);
        let mail = self.mails.wait_for(&address_of(localpart), 2).remove(1);
        let is_password = |word: &&str| word.len() == 23 && word.split('-').all(|group| group.len() == 5);
        mail.text.split_whitespace().find(is_password).unwrap_or_else(|| panic!("no password in {}", mail.text)).to_owned()
    }

    /// The same until the approval; `confirmed` fills in the form that confirms the address.
    pub fn sign_up_until_the_approval(&self, web: &WebServer, localpart: &str, confirmed: impl FnOnce(Form) -> Form) {
        let browser = Browser::new(&web.url());
        let form = browser.get("/register").form().fill("first_name", "Ada").fill("last_name", "Lovelace-Größe");
        let form = form.fill("username", localpart).fill("email", &address_of(localpart)).fill("note", "Hello");
        assert_eq!(browser.submit(&form.press("send", "1")).status, 200, "{}", web.log());
        let mail = self.mails.wait_for(&address_of(localpart), 1).remove(0);
        assert_eq!(browser.submit(&confirmed(browser.get(&mail.link()).form())).status, 200, "{}", web.log());
        let message = self.message_about(localpart);
        let decision = browser.get(&message).form().put("decision", "approve");
        assert_eq!(browser.submit(&decision).status, 200, "{}", web.log());
    }

    /// The link in the room.
    fn message_about(&self, localpart: &str) -> String {
        let mxid = self.synapse().user_id(localpart);
        let messages = self.synapse().messages(&self.synapse().room);
        messages.iter().find(|message| message.body.contains(&mxid)).unwrap_or_else(|| panic!("no message about {mxid}")).link()
    }

    /// Lets the account's initial password expire.
    pub fn let_initial_password_run_out(&self, localpart: &str) {
        sql(&self.site, &format!("UPDATE logins SET initial_password_until = 1000 WHERE localpart = '{localpart}'"));
    }
}

/// Connects a site in local mode to this homeserver.
fn connected(builder: SiteBuilder, synapse: &Synapse, mails: &MailCatcher) -> SiteBuilder {
    builder.synapse(synapse).mail(mails).mode("local")
}

/// A site in local mode with the homeserver that all tests share, for tests that need no module in it.
pub fn shared_site(settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> (Synapse, SiteFolder) {
    let synapse = Synapse::shared();
    let site = settings(SiteFolder::new(&world::built_programs!()).synapse(&synapse).mode("local")).create();
    (synapse, site)
}

/// The same with a mail server.
pub fn shared_site_with_mail(settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> (Synapse, SiteFolder, MailCatcher) {
    let (synapse, mails) = (Synapse::shared(), MailCatcher::start());
    let site = settings(connected(SiteFolder::new(&world::built_programs!()), &synapse, &mails)).create();
    (synapse, site, mails)
}
