//! Applicants and the people who decide: their actions, and what they were told.

use crate::place::Place;
use crate::world::{Account, Form, Mail, Message, Page};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::Mutex;
use std::thread;

const YES: &str = "👍\u{FE0F}";
const NO: &str = "👎\u{FE0F}";

/// An applicant, and the progress of the request as far as people can see it.
#[derive(Debug, Default, Clone)]
pub struct Person {
    number: usize,
    /// The username that the person currently asks for.
    pub name: String,
    pub address: String,
    form: Option<Form>,
    /// Saw the page that confirms the request.
    pub filed: bool,
    confirmed: bool,
    /// The first choice of a username was taken when the address was confirmed.
    lost_the_name: bool,
    /// The operator was told that the question is asked.
    pub asked: bool,
    /// Somebody in the room has written the question.
    asked_in_room: bool,
    /// The homeserver, or somebody with its token, claimed that alice had said yes.
    lied_about: bool,
    /// Somebody in the room has reacted or written.
    spoken_of: bool,
    /// Saw the answer on the page.
    pub answered: bool,
    /// Somebody pressed "approve".
    pub yes_was_said: bool,
    /// What the people who decided were told, "approved" or "declined"; or what the applicant was told, "withdrawn".
    pub verdicts: Vec<&'static str>,
    /// How accounts and first passwords are made in this round.
    pub way: Way,
    /// Was told that the account has a password.
    pub chosen: bool,
    /// The address of the thank-you page.
    thanks: String,
    /// Saw that the address is the right one.
    corrected: bool,
    pub forgotten: Forgotten,
}

/// How accounts and first passwords are made.
#[derive(Debug, Default, Clone, Copy)]
pub struct Way {
    /// In our own table.
    pub in_our_table: bool,
    /// Approved people choose a password by a link.
    pub by_link: bool,
}

impl Way {
    pub fn new((mode, credentials): (&str, &str)) -> Way {
        Way { in_our_table: mode == "local", by_link: credentials == "link" }
    }
}

/// How people in the room decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decides {
    Link,
    Reaction,
    Word,
}

/// The progress of somebody who asks for a new password.
#[derive(Debug, Default, Clone)]
pub struct Forgotten {
    /// How often; each may lead to a mail.
    pub asked: usize,
    /// Was told to check the mails, and has not found the link over since.
    told: bool,
    /// Sent the new password, and may not have seen the answer.
    sent: bool,
    pub is_set: bool,
}

impl Person {
    /// Of every four, the last one wants the same name as the third.
    pub fn new(number: usize, prefix: &str, way: Way) -> Person {
        let wish = if number % 4 == 3 { number - 1 } else { number };
        let (name, address) = (format!("{prefix}n{wish}"), format!("{prefix}n{number}@applicants.example.org"));
        Person { number, name, address, way, ..Person::default() }
    }

    pub fn is_done(&self) -> bool {
        !self.verdicts.is_empty() && !self.has_to_choose() && !self.has_to_reset()
    }

    fn has_to_choose(&self) -> bool {
        self.way.by_link && !self.chosen && self.verdicts.contains(&"approved")
    }

    /// Whether the person mistypes the address, and corrects it on the thank-you page.
    fn mistypes(&self) -> bool {
        self.number % 12 == 5
    }

    fn mistyped_address(&self) -> String {
        self.address.replace(".example.org", ".example.net")
    }

    /// Whether the person forgets the password.
    pub fn forgets(&self) -> bool {
        self.way.in_our_table && self.number.is_multiple_of(12)
    }

    fn has_to_reset(&self) -> bool {
        self.forgets() && !self.forgotten.is_set && self.verdicts.contains(&"approved")
    }

    pub fn new_password(&self) -> String {
        format!("set anew by {}", self.address)
    }

    /// What the person types behind the link: in one window, or at the same moment in two.
    pub fn passwords(&self) -> Vec<String> {
        let windows = if self.number.is_multiple_of(3) { 2 } else { 1 };
        (0..windows).map(|window| format!("{window} chosen by {}", self.address)).collect()
    }

    /// The buttons pressed: one, or two at the same moment.
    fn choices(&self) -> &'static [&'static str] {
        // A declined name is free again, and the rival must not get it that way.
        match if self.wants_the_same() { 0 } else { self.number % 10 } {
            _ if self.is_disputed() => &["approve", "decline"],
            0..=5 => &["approve"],
            6 => &["approve", "approve"],
            7 => &["approve", "decline"],
            _ => &["decline"],
        }
    }

    pub fn decided(&self) -> Decides {
        match self.number % 6 {
            0 => Decides::Reaction,
            _ if self.is_disputed() => Decides::Reaction,
            3 => Decides::Word,
            _ => Decides::Link,
        }
    }

    /// Whether two people in the room react differently at the same moment.
    fn is_disputed(&self) -> bool {
        self.number % 12 == 8
    }

    /// Whether another person asks for the same name at the same time.
    fn wants_the_same(&self) -> bool {
        self.number % 4 >= 2
    }

    /// Whether the person withdraws instead of waiting for the decision.
    pub fn withdraws(&self) -> bool {
        self.number % 12 == 1
    }

    /// Whether the person is asked something before the decision: by the operator, or in the room.
    pub fn is_asked(&self) -> bool {
        self.number % 12 == 4 || self.is_asked_in_room()
    }

    pub fn is_asked_in_room(&self) -> bool {
        self.number.is_multiple_of(12)
    }

    fn lose_the_name(&mut self) {
        if !self.lost_the_name {
            self.name += "b";
            self.lost_the_name = true;
        }
    }

    fn fill(&self, form: Form) -> Form {
        let form = form.fill("first_name", "Person").fill("last_name", &self.number.to_string()).fill("username", &self.name);
        let address = if self.mistypes() { self.mistyped_address() } else { self.address.clone() };
        form.fill("email", &address).fill("note", "through all of it").press("send", "1")
    }
}

/// All people of a round, and what they see.
pub struct People<'a> {
    place: &'a Place,
    pub room: String,
    pub all: Vec<Mutex<Person>>,
    /// By address, in the order of arrival.
    pub mails: Mutex<BTreeMap<String, Vec<Mail>>>,
    mails_read: Mutex<HashSet<std::ffi::OsString>>,
    pub messages: Mutex<Vec<Message>>,
    pub violations: Mutex<Vec<String>>,
}

impl<'a> People<'a> {
    pub fn new(place: &'a Place, room: String, count: usize, prefix: &str, way: Way) -> People<'a> {
        let all = (0..count).map(|number| Mutex::new(Person::new(number, prefix, way))).collect();
        let (mails, mails_read, messages, violations) = Default::default();
        People { place, room, all, mails, mails_read, messages, violations }
    }

    pub fn complain(&self, violation: String) {
        let mut violations = self.violations.lock().unwrap();
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }

    /// Looks into mailboxes and the room.
    pub fn look(&self) {
        let mut read = self.mails_read.lock().unwrap();
        for entry in fs::read_dir(self.place.mails.folder()).unwrap().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".eml") && !name.to_string_lossy().starts_with('.') && !read.contains(&name) {
                let mail = Mail::read(&entry.path());
                self.mails.lock().unwrap().entry(mail.header("X-Envelope-To").to_owned()).or_default().push(mail);
                read.insert(name);
            }
        }
        *self.messages.lock().unwrap() = self.place.synapse.messages(&self.room);
    }

    /// Removes the mails of the round from the mailboxes.
    pub fn tidy(&self) {
        for name in self.mails_read.lock().unwrap().iter() {
            let _ = fs::remove_file(self.place.mails.folder().join(name));
        }
    }

    /// The number of people who know the decision.
    pub fn done(&self) -> usize {
        self.all.iter().filter(|person| person.lock().unwrap().is_done()).count()
    }

    /// The progress of all people.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Person) -> bool| self.all.iter().filter(|person| is(&person.lock().unwrap())).count();
        format!(
            "{} filed, {} confirmed, {} decided",
            count(|person| person.filed),
            count(|person| person.confirmed),
            count(Person::is_done)
        )
    }

    /// Lets somebody take the next step, if it is known; returns whether anybody did.
    pub fn somebody_acts(&self) -> bool {
        let start = self.place.weather.chance.below(self.all.len());
        let (before, from) = self.all.split_at(start);
        from.iter().chain(before).filter_map(|person| person.try_lock().ok()).any(|mut person| self.act(&mut person))
    }

    /// Opens at most one page and sends at most one form.
    fn act(&self, person: &mut Person) -> bool {
        match person {
            Person { filed: false, .. } => self.file(person),
            Person { corrected: false, .. } if person.mistypes() => self.correct(person),
            Person { confirmed: false, .. } => self.confirm(person),
            _ if person.has_to_choose() => self.choose(person),
            _ if person.has_to_reset() => self.reset(person),
            _ if person.is_done() => return false,
            _ if person.withdraws() => self.withdraw(person),
            Person { answered: false, .. } if person.is_asked() => self.answer(person),
            _ if !person.is_done() => self.decide(person),
            _ => return false,
        }
        .is_some()
    }

    /// Sends the same form again and again until the answer is clear.
    fn file(&self, person: &mut Person) -> Option<()> {
        if person.form.is_none() {
            let page = self.place.get(&format!("{}register", self.place.sites[0].public_url()));
            let Some(page) = page else { return Some(()) };
            person.form = Some(person.fill(page.form()));
        }
        match self.place.submit(person.form.as_ref()?) {
            None => {}
            Some(page) if page.status == 200 => {
                person.filed = true;
                person.thanks = page.forms().first().map_or_else(String::new, |form| form.action.clone());
            }
            Some(page) if page.status == 422 && page.text().contains("not available") && person.wants_the_same() => {
                person.lose_the_name();
                person.form = None;
            }
            Some(page) => {
                self.complain(format!("{}: the form is answered {} {}", person.name, page.status, page.text()));
                person.form = None;
            }
        }
        Some(())
    }

    /// Corrects the address on the thank-you page.
    fn correct(&self, person: &mut Person) -> Option<()> {
        let Some(page) = self.place.get(&person.thanks) else { return Some(()) };
        let has_right_address = |page: &Page| page.status == 200 && page.text().contains(&person.address);
        let page = match page.forms().into_iter().find(|form| form.fields.iter().any(|(name, _)| name == "email")) {
            Some(form) if !has_right_address(&page) => self.place.submit(&form.fill("email", &person.address)),
            _ => Some(page),
        };
        match page {
            Some(page) if has_right_address(&page) => person.corrected = true,
            Some(page) => self.complain(format!("{}: a correction is answered {} {}", person.name, page.status, page.text())),
            None => {}
        }
        Some(())
    }

    fn confirm(&self, person: &mut Person) -> Option<()> {
        let link = self.mails.lock().unwrap().get(&person.address)?.first()?.link();
        let Some(page) = self.place.get(&link) else { return Some(()) };
        let page = match posting_form(&page) {
            Some(form) if form.fields.iter().any(|(name, _)| name == "username") => {
                person.lose_the_name();
                self.place.submit(&form.fill("username", &person.name))
            }
            Some(form) => self.place.submit(&form),
            None => Some(page),
        };
        match page {
            None => {}
            Some(page) if page.status == 200 => person.confirmed = true,
            // The page asks for another name, and does so again when it is opened again.
            Some(page) if page.status == 422 && page.text().contains("no longer available") && person.wants_the_same() => {}
            Some(page) => self.complain(format!("{}: a link that was mailed is answered {} {}", person.name, page.status, page.text())),
        }
        Some(())
    }

    /// The applicant's own page.
    fn own_page(&self, person: &Person) -> Option<Page> {
        self.place.get(&self.mails.lock().unwrap().get(&person.address)?.first()?.link())
    }

    fn withdraw(&self, person: &mut Person) -> Option<()> {
        let Some(page) = self.own_page(person) else { return Some(()) };
        let page = match form_to(&page, "withdraw") {
            Some(form) => self.place.submit(&form),
            None => Some(page),
        };
        match page {
            Some(page) if page.text().contains("You have withdrawn your request") => person.verdicts.push("withdrawn"),
            Some(page) => self.complain(format!("{}: withdrawing is answered {} {}", person.name, page.status, page.text())),
            None => {}
        }
        Some(())
    }

    /// Somebody in the room asks, once.
    fn ask_in_room(&self, person: &mut Person) -> Option<()> {
        let message = self.message_about(person)?;
        if !person.asked_in_room {
            let root = &message.event_id;
            let relates_to =
                json!({"rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": {"event_id": root}});
            self.write(&self.place.synapse.alice, "!ask Who are you?", relates_to);
            person.asked_in_room = true;
            return Some(());
        }
        person.asked = self.own_page(person).is_some_and(|page| form_to(&page, "answer").is_some());
        person.asked.then_some(())
    }

    /// Writes to the room, of which the programs may be told.
    fn write(&self, who: &Account, body: &str, relates_to: Value) {
        let content = json!({"msgtype": "m.text", "body": body, "m.relates_to": relates_to});
        let event_id = self.place.synapse.send(&self.room, who, "m.room.message", content.clone());
        self.push("m.room.message", &event_id, who, content);
    }

    fn push(&self, kind: &str, event_id: &str, who: &Account, content: Value) {
        self.place.push(&json!({"type": kind, "event_id": event_id, "room_id": self.room, "sender": who.user_id, "content": content}));
    }

    fn message_about(&self, person: &Person) -> Option<Message> {
        let mxid = self.place.synapse.user_id(&person.name);
        let is_about = |message: &&Message| message.body.split_whitespace().any(|word| word == mxid);
        self.messages.lock().unwrap().iter().find(is_about).cloned()
    }

    /// The operator asks, perhaps more than once, and the applicant answers everything on the page.
    fn answer(&self, person: &mut Person) -> Option<()> {
        if !person.asked && person.is_asked_in_room() {
            return self.ask_in_room(person);
        }
        if !person.asked {
            // A command that died may have asked.
            person.asked = self.place.put_question(&person.name, "Who are you?")
                || self.own_page(person).is_some_and(|page| form_to(&page, "answer").is_some());
            return Some(());
        }
        let Some(page) = self.own_page(person) else { return Some(()) };
        let page = match form_to(&page, "answer") {
            Some(form) => self.place.submit(&form.fill("answer", "Somebody")),
            None => Some(page),
        };
        match page {
            Some(page) if page.status == 200 => person.answered = page.text().contains("Somebody") && form_to(&page, "answer").is_none(),
            Some(page) => self.complain(format!("{}: an answer is answered {} {}", person.name, page.status, page.text())),
            None => {}
        }
        Some(())
    }

    fn decide(&self, person: &mut Person) -> Option<()> {
        let message = self.message_about(person)?;
        if !person.lied_about {
            // What nobody has said counts for nothing.
            let relates_to = json!({"rel_type": "m.annotation", "event_id": message.event_id, "key": YES});
            self.push(
                "m.reaction",
                &format!("$made-up-{}", person.address),
                &self.place.synapse.alice,
                json!({"m.relates_to": relates_to}),
            );
            person.lied_about = true;
        }
        match person.decided() {
            Decides::Link => self.press_buttons(person, &message.link()),
            _ => self.speak(person, &message),
        }
    }

    /// People react or write, and look at the message until it says what was decided.
    fn speak(&self, person: &mut Person, message: &Message) -> Option<()> {
        let choices = person.choices();
        if !person.spoken_of {
            person.yes_was_said |= choices.contains(&"approve");
            person.spoken_of = true;
            match person.decided() {
                Decides::Word => {
                    let words = if choices[0] == "approve" { "approve" } else { "decline: no room" };
                    self.write(&self.place.synapse.alice, words, json!({"m.in_reply_to": {"event_id": message.event_id}}));
                }
                _ => self.react(choices, &message.event_id),
            }
            return Some(());
        }
        let shown = self.place.synapse.shown(&self.room, &message.event_id);
        let seen = match (shown.contains(" Approved: "), shown.contains(" Declined: ")) {
            (true, _) => Some("approved"),
            (_, true) => Some("declined"),
            // The page of the link looks at the reactions, too.
            _ if self.place.weather.chance.one_in(8) => self.place.get(&message.link()).and_then(|page| verdict(&page)),
            _ => None,
        };
        person.verdicts.push(seen?);
        Some(())
    }

    /// All at the same moment.
    fn react(&self, choices: &[&str], event_id: &str) {
        let synapse = &self.place.synapse;
        thread::scope(|scope| {
            for (choice, who) in choices.iter().zip([&synapse.alice, &synapse.bob]) {
                scope.spawn(move || {
                    let key = if *choice == "approve" { YES } else { NO };
                    let reaction = synapse.react(&self.room, who, event_id, key);
                    let relates_to = json!({"rel_type": "m.annotation", "event_id": event_id, "key": key});
                    self.push("m.reaction", &reaction, who, json!({"m.relates_to": relates_to}));
                });
            }
        });
    }

    fn press_buttons(&self, person: &mut Person, link: &str) -> Option<()> {
        let press = |choice: &&str| {
            let page = self.place.get(link)?;
            match posting_form(&page) {
                Some(form) => self.place.submit(&form.put("decision", choice)),
                None => Some(page),
            }
        };
        let choices = person.choices();
        person.yes_was_said |= choices.contains(&"approve");
        let pages: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = choices.iter().map(|choice| scope.spawn(move || press(choice))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        for page in pages {
            match verdict(&page) {
                Some(verdict) => person.verdicts.push(verdict),
                None => self.complain(format!("{}: a decision is answered {} {}", person.name, page.status, page.text())),
            }
        }
        Some(())
    }

    /// Asks for a new password, and sets it by the link of the last mail.
    fn reset(&self, person: &mut Person) -> Option<()> {
        // Before the account is made, nobody has a password to forget.
        if !self.mails.lock().unwrap().get(&person.address)?.iter().any(|mail| mail.subject().contains("is ready")) {
            return None;
        }
        if !person.forgotten.told {
            let page = self.place.get(&format!("{}reset_password", self.place.sites[0].public_url()));
            let Some(page) = page else { return Some(()) };
            person.forgotten.asked += 1;
            match self.place.submit(&page.form().fill("account", &person.name)) {
                Some(page) if page.status == 200 => person.forgotten.told = true,
                Some(page) => self.complain(format!("{}: asking for a password is answered {} {}", person.name, page.status, page.text())),
                None => {}
            }
            return Some(());
        }
        let is_reset = |link: &String| link.contains("/reset_password?");
        let link = self.mails.lock().unwrap().get(&person.address)?.iter().map(Mail::link).rfind(is_reset)?;
        let Some(page) = self.place.get(&link) else { return Some(()) };
        let form = page.forms().into_iter().find(|form| form.fields.iter().any(|(name, _)| name == "password"));
        let Some(form) = form else {
            // Set by a program that died before it answered; or another mail is on its way.
            person.forgotten.is_set = person.forgotten.sent;
            return Some(());
        };
        person.forgotten.sent = true;
        let password = person.new_password();
        match self.place.submit(&form.fill("password", &password).fill("password_again", &password)) {
            Some(page) if page.text().contains("Your new password is set") => person.forgotten.is_set = true,
            Some(page) => self.complain(format!("{}: a new password is answered {} {}", person.name, page.status, page.text())),
            None => {}
        }
        Some(())
    }

    /// Chooses a password by the link of the second mail.
    fn choose(&self, person: &mut Person) -> Option<()> {
        let link = self.mails.lock().unwrap().get(&person.address)?.iter().map(Mail::link).find(|link| link.contains("/welcome?"))?;
        let press = |password: String| {
            let page = self.place.get(&link)?;
            match posting_form(&page) {
                Some(form) => self.place.submit(&form.fill("password", &password).fill("password_again", &password)),
                None => Some(page),
            }
        };
        let pages: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = person.passwords().into_iter().map(|password| scope.spawn(|| press(password))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        for page in pages {
            match says_that_it_is_chosen(&page) {
                true => person.chosen = true,
                false => self.complain(format!("{}: a chosen password is answered {} {}", person.name, page.status, page.text())),
            }
        }
        Some(())
    }
}

fn says_that_it_is_chosen(page: &Page) -> bool {
    let heading = page.texts("h1").concat();
    page.status == 200 && (heading.contains("account is ready") || heading.contains("password is saved"))
}

fn verdict(page: &Page) -> Option<&'static str> {
    let heading = page.texts("h1").concat().to_lowercase();
    match (heading.contains("approved"), heading.contains("declined")) {
        (true, false) => Some("approved"),
        (false, true) => Some("declined"),
        _ => None,
    }
}

/// The form with the main button: to confirm, or to decide.
fn posting_form(page: &Page) -> Option<Form> {
    page.forms().into_iter().find(|form| form.method == "POST" && action_of(form).is_none())
}

fn form_to(page: &Page, action: &str) -> Option<Form> {
    page.forms().into_iter().find(|form| action_of(form) == Some(action))
}

fn action_of(form: &Form) -> Option<&str> {
    form.fields.iter().find(|(name, _)| name == "action").map(|(_, action)| action.as_str())
}
