//! What must be true at the end of a round: compares what people were told with the data of the database, the homeserver and
//! the mail server.

use crate::mail_proxy::Handed;
use crate::people::{Decides, People, Person};
use crate::place::Place;
use crate::world::{Mail, Message};
use crate::{STILL_OWED, UNREAD};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Figures of a round.
#[derive(Debug, Default)]
pub struct Found {
    pub people: usize,
    pub approved: usize,
    pub mails: usize,
    /// Repeated copies with the same Message-ID and words, because the mail server's answer was lost.
    pub copies_answer_lost: usize,
    /// The same, because the program was killed between the mail server's answer and its own commit.
    pub copies_killed: usize,
    /// The same, because the database was unavailable, or its disk full, when the mail should have been recorded as sent.
    pub copies_database_away: usize,
    pub copies_by_proxy: usize,
}

/// A round to check.
pub struct Round<'a> {
    pub place: &'a Place,
    pub people: &'a People<'a>,
    pub mode: &'static str,
    pub prefix: &'a str,
    pub handed: Vec<Handed>,
    /// The storms in which the database was killed, or its disk was full.
    pub database_storms: HashSet<usize>,
}

impl Round<'_> {
    /// Checks everything and adds what is wrong to the violations.
    pub fn check(&self) -> Found {
        let people: Vec<Person> = self.people.all.iter().map(|person| person.lock().unwrap().clone()).collect();
        let approved = self.rows(&people);
        self.accounts(&people, &approved);
        self.decisions(&people);
        self.room(&people);
        self.nothing_is_held();
        let mut found = Found { people: people.len(), approved: approved.len(), ..Found::default() };
        self.mails(&people, &mut found);
        self.logins(&people, &approved);
        found
    }

    fn wrong(&self, violation: String) {
        self.people.complain(violation);
    }

    /// There must be one row for everybody whose request was confirmed, finished, and decided as people were told. Returns the
    /// approved names.
    fn rows(&self, people: &[Person]) -> BTreeSet<String> {
        let sql = format!(
            "SELECT username, email, state, COALESCE(last_error, ''), COALESCE(refusal, '') FROM registrations WHERE username LIKE '{}n%'",
            self.prefix
        );
        let mut rows: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
        for row in self.place.database.rows(&sql) {
            rows.entry(row[0].clone()).or_default().push(row);
        }
        for person in people {
            let own = rows.remove(&person.name).unwrap_or_default();
            let state = |verdict: &&'static str| match *verdict {
                "approved" => "100",
                "withdrawn" => "15",
                _ => "13",
            };
            let heard: BTreeSet<_> = person.verdicts.iter().map(state).collect();
            let address = if person.withdraws() { "" } else { person.address.as_str() };
            match own.as_slice() {
                [row] if row[1] == address && heard.len() == 1 && heard.contains(row[2].as_str()) => {}
                _ => self.wrong(format!(
                    "{} was filed: {}, heard {:?}, and the database has {own:?}",
                    person.name, person.filed, person.verdicts
                )),
            }
        }
        if !rows.is_empty() {
            self.wrong(format!("rows that nobody was thanked for: {rows:?}"));
        }
        let approved = format!("SELECT username FROM registrations WHERE username LIKE '{}n%' AND state = 100", self.prefix);
        self.place.database.rows(&approved).concat().into_iter().collect()
    }

    /// The homeserver must have exactly the approved accounts; in local mode, so must our table.
    fn accounts(&self, people: &[Person], approved: &BTreeSet<String>) {
        let path = format!("/_synapse/admin/v2/users?limit=5000&guests=false&name={}n", self.prefix);
        let (_, answer) = self.place.synapse.call("GET", &path, Some(&self.place.synapse.admin.token), None);
        let names = answer["users"].as_array().into_iter().flatten().map(|user| {
            let id = user["name"].as_str().unwrap_or_default();
            id.trim_start_matches('@').split(':').next().unwrap_or_default().to_owned()
        });
        let there: BTreeSet<String> = names.collect();
        if there != *approved {
            self.wrong(format!(
                "accounts without an approved request: {:?}; approved requests without an account: {:?}",
                there.difference(approved).collect::<Vec<_>>(),
                approved.difference(&there).collect::<Vec<_>>()
            ));
        }
        self.accounts_in_mas(people, approved);
        for name in there {
            if !people.iter().any(|person| person.name == name && person.yes_was_said) {
                self.wrong(format!("{name} has an account and nobody said yes"));
            }
        }
        let sql = format!("SELECT localpart FROM logins WHERE localpart LIKE '{}n%' ORDER BY localpart", self.prefix);
        let logins = self.place.database.rows(&sql).concat();
        let expected: Vec<_> = if self.mode == "local" { approved.iter().cloned().collect() } else { Vec::new() };
        if logins != expected {
            self.wrong(format!("our own table has {logins:?} instead of {expected:?}"));
        }
    }

    /// MAS must have the approved accounts, each with its owner's address and nobody else's, and no others.
    fn accounts_in_mas(&self, people: &[Person], approved: &BTreeSet<String>) {
        let Some(mas) = &self.place.mas else { return };
        for person in people {
            let user = mas.user(&person.name);
            let expected = if approved.contains(&person.name) { json!([person.address]) } else { Value::Null };
            if user["emails"] != expected {
                self.wrong(format!("{}: MAS has {user} instead of one account with {expected}", person.name));
            }
        }
    }

    /// Each request was decided once, and by those who reacted or wrote.
    fn decisions(&self, people: &[Person]) {
        let (alice, bob) = (&self.place.synapse.alice.user_id, &self.place.synapse.bob.user_id);
        for person in people.iter().filter(|person| !person.withdraws()) {
            let sql = format!(
                "SELECT way, COALESCE(decided_by, '') FROM decisions JOIN registrations ON registrations.id = registration_id \
                 WHERE username = '{}' AND outcome IN ('approved', 'declined')",
                person.name
            );
            let found = self.place.database.rows(&sql);
            let is_right = |way: &str, by: &String| match person.decided() {
                Decides::Link => (way, by.as_str()) == ("link", ""),
                Decides::Reaction => way == "reaction" && (by == alice || by == bob),
                Decides::Word => way == "word" && by == alice,
            };
            if !matches!(found.as_slice(), [decision] if is_right(&decision[0], &decision[1])) {
                self.wrong(format!("{} was to be decided {:?}, and the decisions are {found:?}", person.name, person.decided()));
            }
        }
    }

    fn room(&self, people: &[Person]) {
        let all = self.place.synapse.messages(&self.people.room);
        let bot = self.place.synapse.user_id(&self.place.bot);
        let (in_threads, messages): (Vec<Message>, Vec<Message>) = all
            .into_iter()
            .filter(|message| message.sender == bot)
            .partition(|message| message.event["content"]["m.relates_to"]["rel_type"] == "m.thread");
        self.answers_are_there_once(people, &in_threads);
        // Who withdraws early is never told of.
        let (gone, stayed): (Vec<_>, Vec<_>) = people.iter().partition(|person| person.withdraws());
        for person in &stayed {
            let mxid = self.place.synapse.user_id(&person.name);
            let about = messages.iter().filter(|message| message.body.split_whitespace().any(|word| word == mxid)).count();
            if about != 1 {
                self.wrong(format!("{about} messages in the room about {mxid}"));
            }
            self.message_is_true(person, &mxid, &messages);
        }
        if !(stayed.len()..=stayed.len() + gone.len()).contains(&messages.len()) {
            self.wrong(format!("{} messages in the room about {} people", messages.len(), people.len()));
        }
    }

    /// The bot says nothing in threads but what applicants answered.
    fn answers_are_there_once(&self, people: &[Person], in_threads: &[Message]) {
        let answers = people.iter().filter(|person| !person.withdraws()).map(|person| self.questions(person)).sum::<usize>();
        let posted = in_threads.iter().filter(|message| message.body.contains("> Somebody")).count();
        if (posted, in_threads.len()) != (answers, answers) {
            let said: Vec<_> = in_threads.iter().map(|message| &message.body).collect();
            self.wrong(format!("{answers} questions were answered, and the threads have: {said:?}"));
        }
    }

    /// What the room sees last is what was decided.
    fn message_is_true(&self, person: &Person, mxid: &str, messages: &[Message]) {
        let Some(message) = messages.iter().find(|message| message.body.split_whitespace().any(|word| word == mxid)) else { return };
        let shown = self.place.synapse.shown(&self.people.room, &message.event_id);
        let heading = if person.verdicts.iter().any(|verdict| verdict == &"approved") { "Approved: " } else { "Declined: " };
        // Behind the number of the request.
        if !shown.split_once(' ').is_some_and(|(number, rest)| number.starts_with('#') && rest.starts_with(heading)) {
            self.wrong(format!("{}: heard {:?}, and the room sees {shown:?}", person.name, person.verdicts));
        }
    }

    fn nothing_is_held(&self) {
        let kept = self.place.database.rows("SELECT username, state FROM registrations WHERE password IS NOT NULL");
        if !kept.is_empty() {
            self.wrong(format!("a password is still in the database: {kept:?}"));
        }
        for sql in [
            "SELECT username, state, lease_until FROM registrations WHERE lease IS NOT NULL",
            &format!("SELECT registration_id, kind FROM owed_actions WHERE {STILL_OWED}"),
            UNREAD,
            "SELECT id FROM password_resets WHERE lease IS NOT NULL OR is_done = 0",
            // The lock of a program that died stays until the next one wants it, and ends before.
            &format!("SELECT name FROM locks WHERE held_until > {}", now()),
        ] {
            let held = self.place.database.rows(sql);
            if !held.is_empty() {
                self.wrong(format!("still held: {held:?}"));
            }
        }
    }

    /// What the operator was told to be asked, and the applicant to be answered, must be in the database. Returns the number of
    /// questions.
    fn questions(&self, person: &Person) -> usize {
        let sql = format!(
            "SELECT COALESCE(answer, '') FROM questions JOIN registrations ON registrations.id = registration_id WHERE username = '{}'",
            person.name
        );
        let answers = self.place.database.rows(&sql).concat();
        if person.is_asked() && (answers.is_empty() || answers.iter().any(|answer| answer != "Somebody")) {
            self.wrong(format!("{}: asked {}, answered {}, and the database has {answers:?}", person.name, person.asked, person.answered));
        }
        if person.is_asked_in_room() && answers.len() != 1 {
            self.wrong(format!("{} was asked once in the room, and the database has {} questions", person.name, answers.len()));
        }
        answers.len()
    }

    /// Two mails per person, one per question, one with the link to choose a password, and one each time somebody asked for a new
    /// password, by Message-ID; only the first for those who withdrew. Further copies must be identical, and each needs a reason.
    fn mails(&self, people: &[Person], found: &mut Found) {
        let boxes = self.people.mails.lock().unwrap();
        for person in people {
            let mails = boxes.get(&person.address).map(Vec::as_slice).unwrap_or_default();
            let mut by_id: BTreeMap<&str, Vec<&Mail>> = BTreeMap::new();
            for mail in mails {
                by_id.entry(mail.header("Message-ID")).or_default().push(mail);
            }
            // A question that was answered on the page before its mail was sent needs no mail.
            let questions = self.questions(person);
            let least = 2 + usize::from(person.chosen);
            let expected = if person.withdraws() { 1..=1 } else { least..=least + questions + person.forgotten.asked };
            if !expected.contains(&by_id.len()) {
                self.wrong(format!("{}: {} different mails instead of {expected:?}: {:?}", person.name, by_id.len(), by_id.keys()));
            }
            for (id, copies) in by_id {
                let words = |mail: &Mail| (mail.subject().to_owned(), mail.text.clone(), mail.html.clone(), mail.header("To").to_owned());
                if copies.iter().any(|copy| words(copy) != words(copies[0])) {
                    self.wrong(format!(
                        "{}: copies of {id} differ: {:#?}",
                        person.name,
                        copies.iter().map(|copy| &copy.text).collect::<Vec<_>>()
                    ));
                }
                found.mails += copies.len();
                self.copies(&person.name, id, copies.len(), found);
            }
        }
    }

    fn copies(&self, name: &str, id: &str, copies: usize, found: &mut Found) {
        let killed = self.place.killed.lock().unwrap();
        let handed: Vec<&Handed> = self.handed.iter().filter(|handed| handed.message_id == id).collect();
        if handed.len() != copies {
            self.wrong(format!("{name}: {copies} copies of {id}, and {} went through the proxy", handed.len()));
        }
        found.copies_by_proxy += handed.iter().filter(|handed| handed.by_proxy).count();
        let ours: Vec<_> = handed.into_iter().filter(|handed| !handed.by_proxy).collect();
        for before in &ours[..ours.len().saturating_sub(1)] {
            if !before.answered {
                found.copies_answer_lost += 1;
            } else if before.sender.is_some_and(|pid| killed.contains(&(before.beat, pid))) {
                found.copies_killed += 1;
            } else if self.database_storms.contains(&before.beat) {
                found.copies_database_away += 1;
            } else {
                self.wrong(format!(
                    "{name}: {id} was sent again although its sender lived and was told that the mail server has it: {ours:?}"
                ));
            }
        }
    }

    /// The password in the mail must open the account, or exactly one of those that were chosen.
    fn logins(&self, people: &[Person], approved: &BTreeSet<String>) {
        let boxes = self.people.mails.lock().unwrap();
        let approved: Vec<&Person> = people.iter().filter(|person| approved.contains(&person.name)).collect();
        thread::scope(|scope| {
            for some in approved.chunks(approved.len().div_ceil(8).max(1)) {
                scope.spawn(|| self.log_in(some, &boxes));
            }
        });
    }

    fn log_in(&self, people: &[&Person], boxes: &BTreeMap<String, Vec<Mail>>) {
        for person in people {
            if person.forgets() {
                if let Err(cause) = self.opens(person, &person.new_password()) {
                    self.wrong(format!("{}: the new password does not open the account: {cause}", person.name));
                }
                continue;
            }
            if person.way.by_link {
                let opening = person.passwords().iter().filter(|password| self.opens(person, password).is_ok()).count();
                if opening != 1 {
                    self.wrong(format!("{}: {opening} of the chosen passwords open the account", person.name));
                }
                continue;
            }
            let mails = boxes.get(&person.address).map(Vec::as_slice).unwrap_or_default();
            let is_password =
                |word: &&str| word.len() == 23 && word.split('-').count() == 4 && word.split('-').all(|group| group.len() == 5);
            let Some(password) = mails.iter().find_map(|mail| mail.text.split_whitespace().find(is_password)) else {
                self.wrong(format!("{}: no mail has a password", person.name));
                continue;
            };
            if let Err(cause) = self.opens(person, password) {
                self.wrong(format!("{}: the mailed password does not open the account: {cause}", person.name));
            }
        }
    }

    fn opens(&self, person: &Person, password: &str) -> Result<(), String> {
        match self.mode {
            "local" => self.ask_login(&person.name, password),
            _ => self.place.synapse.login(&person.name, password).map(|_| ()),
        }
    }

    /// Checks a password as Synapse's module does.
    fn ask_login(&self, name: &str, password: &str) -> Result<(), String> {
        let body = json!({"user": {"id": self.place.synapse.user_id(name), "password": password}}).to_string();
        let length = body.len().to_string();
        let variables =
            [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("CONTENT_TYPE", "application/json"), ("CONTENT_LENGTH", &length)];
        let output = self.place.sites[0].run("login", &variables, body.as_bytes());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer: Value = text.split("\r\n\r\n").nth(1).and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        if answer["auth"]["success"] == json!(true) { Ok(()) } else { Err(text) }
    }
}

impl Found {
    pub fn add(&mut self, other: &Found) {
        self.people += other.people;
        self.approved += other.approved;
        self.mails += other.mails;
        self.copies_answer_lost += other.copies_answer_lost;
        self.copies_killed += other.copies_killed;
        self.copies_database_away += other.copies_database_away;
        self.copies_by_proxy += other.copies_by_proxy;
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs()
}
