//! Applicants and the people who decide. They follow links on whatever node a load balancer would have chosen.

use crate::nodes::Nodes;
use crate::world::{Form, Page};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The domain of all addresses.
const APPLICANTS: &str = "@applicants.example.org";

/// How long somebody waits for a mail or a message before coming back later.
const WAIT: Duration = Duration::from_secs(6);

/// An applicant, and the progress of the request as far as people can see it.
#[derive(Debug, Default, Clone)]
pub struct Person {
    pub number: usize,
    /// The username that the person currently asks for.
    pub name: String,
    /// The name was taken, so another one was chosen.
    pub lost_first_choice: bool,
    /// Saw the page that confirms the request.
    pub filed: bool,
    pub confirmed: bool,
    /// What the people who decided were told: "approved" or "declined".
    pub verdicts: Vec<&'static str>,
}

/// How a request is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Approve,
    ApproveTwice,
    ApproveAgainstDecline,
    Decline,
}

impl Person {
    pub fn new(number: usize, prefix: &str) -> Person {
        // Of every four, the last one wants the same name as the third.
        let wish = if number % 4 == 3 { number - 1 } else { number };
        Person { number, name: format!("{prefix}{wish}"), ..Person::default() }
    }

    pub fn address(&self) -> String {
        format!("person{}{APPLICANTS}", self.number)
    }

    fn decision(&self) -> Decision {
        match self.number % 10 {
            0..=4 => Decision::Approve,
            5 => Decision::ApproveTwice,
            6..=8 => Decision::ApproveAgainstDecline,
            _ => Decision::Decline,
        }
    }

    pub fn is_done(&self) -> bool {
        !self.verdicts.is_empty()
    }

    fn fill(&self, form: Form) -> Form {
        let form = form.fill("first_name", "Person").fill("last_name", &self.number.to_string()).fill("username", &self.name);
        form.fill("email", &self.address()).fill("note", "from several machines").press("send", "1")
    }
}

/// The people, and what they see in the room.
pub struct Club<'a> {
    pub nodes: &'a Nodes,
    pub forms_sent: AtomicUsize,
    pub filed: AtomicUsize,
    /// The links in the room, by mail address. Not by Matrix id: a name that was declined may be asked for again, by a rival.
    links: Mutex<HashMap<String, String>>,
}

impl Club<'_> {
    pub fn new(nodes: &Nodes) -> Club<'_> {
        Club { nodes, forms_sent: AtomicUsize::new(0), filed: AtomicUsize::new(0), links: Mutex::default() }
    }

    /// Watches the room while `goes_on`.
    pub fn watch_room(&self, goes_on: &AtomicBool) {
        while goes_on.load(Ordering::Relaxed) {
            for message in self.nodes.synapse.messages(&self.nodes.room) {
                let address = message.body.split_whitespace().find(|word| word.ends_with(APPLICANTS));
                self.links.lock().unwrap().extend(address.map(|address| (address.to_owned(), message.link())));
            }
            // The longer the room's history, the longer the homeserver takes.
            let known = self.links.lock().unwrap().len() as u64;
            thread::sleep(Duration::from_millis(300 + 5 * known));
        }
    }

    /// Four people get as far as they can: one sends the form to two nodes at once, two want the same name.
    pub fn four(&self, people: &mut [Person]) {
        let [first, second, third, fourth] = people else { panic!("four people") };
        if !first.filed {
            self.file_twice(first);
            self.file(second, second.number);
            self.rivals(third, fourth);
        }
        for person in people {
            self.go_on(person);
        }
    }

    /// Confirms and gets a decision, as far as mail and message have arrived.
    pub fn go_on(&self, person: &mut Person) {
        if !person.confirmed && !self.confirm(person) {
            return;
        }
        if !person.is_done() {
            self.decide(person);
        }
    }

    fn send(&self, node: usize, form: &Form) -> bool {
        self.forms_sent.fetch_add(1, Ordering::Relaxed);
        let page = self.nodes.submit(node, form);
        match page.status {
            200 => true,
            422 if page.text().contains("not available") => false,
            status => panic!("{status} {}\n{}", page.text(), self.nodes.log()),
        }
    }

    fn file(&self, person: &mut Person, node: usize) {
        let form = person.fill(self.nodes.sign_up_form(node));
        person.filed = self.send(node, &form);
        assert!(person.filed, "{} was free", person.name);
        self.filed.fetch_add(1, Ordering::Relaxed);
    }

    /// A double click that the load balancer sends to two nodes.
    fn file_twice(&self, person: &mut Person) {
        let form = person.fill(self.nodes.sign_up_form(person.number));
        let both = at_once(|second| self.send(person.number + usize::from(second), &form));
        assert_eq!(both, [true, true], "{}: both are thanked", person.name);
        person.filed = true;
        self.filed.fetch_add(1, Ordering::Relaxed);
    }

    /// Both ask for the same name, and confirm on two nodes at the same moment. The loser chooses another name.
    fn rivals(&self, one: &mut Person, other: &mut Person) {
        self.file(one, one.number);
        self.file(other, other.number + 1);
        let (Some(first), Some(second)) = (self.page_to_confirm(one), self.page_to_confirm(other)) else { return };
        let forms = [first, second].map(|page| posting_form(&page).unwrap_or_else(|| panic!("no button: {}", page.text())));
        let answers = at_once(|second| self.nodes.submit(one.number + usize::from(second), &forms[usize::from(second)]));
        let got = answers.each_ref().map(|page| page.status);
        assert!(got == [200, 422] || got == [422, 200], "{} goes to one: {got:?}", one.name);
        for (person, answer) in [one, other].into_iter().zip(&answers) {
            match answer.status {
                200 => person.confirmed = true,
                _ => self.choose_another(person, answer),
            }
        }
    }

    fn page_to_confirm(&self, person: &Person) -> Option<Page> {
        let mail = wait_for(|| self.nodes.mails.mails(&person.address()).into_iter().next())?;
        let page = self.nodes.get(person.number + 2, &mail.link());
        assert_eq!(page.status, 200, "a link that was mailed is known: {}", page.text());
        Some(page)
    }

    /// The page says that the name is taken, and asks for another one.
    fn choose_another(&self, person: &mut Person, page: &Page) {
        person.name += "b";
        person.lost_first_choice = true;
        let form = posting_form(page).unwrap_or_else(|| panic!("{} {}", page.status, page.text()));
        let page = self.nodes.submit(person.number + 1, &form.fill("username", &person.name));
        assert_eq!(page.status, 200, "{}\n{}", page.text(), self.nodes.log());
        person.confirmed = true;
    }

    /// Opens the link in the mail on another node than the one that sent it, and presses the button.
    fn confirm(&self, person: &mut Person) -> bool {
        let Some(page) = self.page_to_confirm(person) else { return false };
        match posting_form(&page) {
            Some(form) if form.fields.iter().any(|(name, _)| name == "username") => self.choose_another(person, &page),
            Some(form) => match self.nodes.submit(person.number + 1, &form) {
                page if page.status == 422 => self.choose_another(person, &page),
                page => assert_eq!(page.status, 200, "{}\n{}", page.text(), self.nodes.log()),
            },
            None => {}
        }
        person.confirmed = true;
        true
    }

    fn decide(&self, person: &mut Person) {
        let Some(link) = wait_for(|| self.links.lock().unwrap().get(&person.address()).cloned()) else { return };
        let choices = match person.decision() {
            Decision::Approve => ["approve", ""],
            Decision::ApproveTwice => ["approve", "approve"],
            Decision::ApproveAgainstDecline => ["approve", "decline"],
            Decision::Decline => ["decline", ""],
        };
        let decide = |node: usize, choice: &str| {
            let page = self.nodes.get(node, &link);
            assert_eq!(page.status, 200, "{}", page.text());
            let answer = posting_form(&page).map(|form| self.nodes.submit(node + 1, &form.put("decision", choice)));
            verdict(&answer.unwrap_or(page))
        };
        person.verdicts = match choices {
            [choice, ""] => vec![decide(person.number, choice)],
            both => at_once(|second| decide(person.number + usize::from(second), both[usize::from(second)])).into(),
        };
    }
}

fn verdict(page: &Page) -> &'static str {
    let heading = page.texts("h1").concat().to_lowercase();
    match (heading.contains("approved"), heading.contains("declined")) {
        (true, false) => "approved",
        (false, true) => "declined",
        _ => panic!("neither approved nor declined: {} {}", page.status, page.text()),
    }
}

/// The form with the main button: to confirm, or to decide.
fn posting_form(page: &Page) -> Option<Form> {
    let is_main = |form: &Form| form.method == "POST" && form.fields.iter().all(|(name, _)| name != "action");
    page.forms().into_iter().find(is_main)
}

/// Runs both at the same moment; the second one is told so.
fn at_once<T: Send>(act: impl Fn(bool) -> T + Sync) -> [T; 2] {
    let start = Barrier::new(2);
    let act = |second| {
        start.wait();
        act(second)
    };
    thread::scope(|scope| {
        let second = scope.spawn(|| act(true));
        let first = act(false);
        [first, second.join().unwrap()]
    })
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + WAIT;
    loop {
        match look() {
            None if Instant::now() < end => thread::sleep(Duration::from_millis(100)),
            found => return found,
        }
    }
}
