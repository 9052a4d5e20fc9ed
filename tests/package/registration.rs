//! One applicant, using an installation.

use crate::the_story::{address_of, decision_form, fresh, password_in};
use crate::world::{Browser, MailCatcher, Synapse};
use std::thread;
use std::time::{Duration, Instant};

pub struct Applicant<'a> {
    pub localpart: String,
    pub browser: &'a Browser,
    pub synapse: &'a Synapse,
    pub room: &'a str,
    pub mails: &'a MailCatcher,
}

impl<'a> Applicant<'a> {
    /// Fills in the form.
    pub fn asks(browser: &'a Browser, synapse: &'a Synapse, room: &'a str, mails: &'a MailCatcher) -> Applicant<'a> {
        let localpart = fresh("grace");
        let form = browser.get("/register").form().fill("first_name", "Grace").fill("last_name", "Hopper");
        let form = form.fill("username", &localpart).fill("email", &address_of(&localpart)).press("send", "1");
        // With the package's defaults, an applicant who is faster than a person is asked to send the form again.
        let end = Instant::now() + Duration::from_secs(20);
        let mut page = browser.submit(&form);
        while page.status == 422 && Instant::now() < end {
            thread::sleep(Duration::from_millis(250));
            page = browser.submit(&form);
        }
        assert_eq!(page.status, 200, "{}", page.text());
        Applicant { localpart, browser, synapse, room, mails }
    }

    /// Confirms the address, is approved, and logs in with the mailed password.
    pub fn gets_an_account(&self) {
        let mail = self.mails.wait_for(&address_of(&self.localpart), 1).remove(0);
        assert_eq!(self.browser.submit(&self.browser.get(&mail.link()).form()).status, 200);
        let mxid = self.synapse.user_id(&self.localpart);
        let messages = self.synapse.wait_for_messages(self.room, 1);
        let message = messages.iter().find(|message| message.body.contains(&mxid)).expect("the room hears of it");
        let decided = self.browser.submit(&decision_form(&self.browser.get(&message.link()), "approve", ""));
        assert!(decided.text().contains("Approved"), "{}", decided.text());
        let credentials = self.mails.wait_for(&address_of(&self.localpart), 2).remove(1);
        assert!(self.synapse.login(&self.localpart, &password_in(&credentials)).is_ok(), "the mailed credentials log in");
    }
}
