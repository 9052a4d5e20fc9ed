//! What must be true at the end, according to SQL and the data of the other servers.

use crate::nodes::Nodes;
use crate::people::Person;
use crate::tables::Tables;
use crate::world::Mail;
use std::collections::{BTreeMap, BTreeSet};

/// Figures of a successful run.
pub struct Found {
    pub mails: usize,
    /// Repeated mails with the same Message-ID and words.
    pub mails_twice: usize,
    pub approved: usize,
}

pub fn check(nodes: &Nodes, tables: &Tables, people: &[Person], mode: &str) -> Found {
    every_thank_you_is_kept(tables, people);
    no_name_is_two_peoples(tables);
    decisions_are_what_the_deciders_heard(tables, people);
    let approved = accounts_are_those_that_were_approved(nodes, tables, people, mode);
    the_room_has_one_message_each(nodes, people);
    nobody_holds_anything(tables);
    let (mails, mails_twice) = each_mail_is_one(nodes, people);
    for table in ["registrations", "logins", "locks", "schema_version"] {
        tables.assert_same_everywhere(&format!("SELECT * FROM {table} ORDER BY 1"));
    }
    Found { mails, mails_twice, approved }
}

fn every_thank_you_is_kept(tables: &Tables, people: &[Person]) {
    let rows = tables.rows("SELECT username, email FROM registrations ORDER BY username").into_iter();
    let rows: Vec<_> = rows.map(|row| row[0].clone()).collect();
    let mut thanked: Vec<_> = people.iter().filter(|person| person.filed).map(|person| person.name.clone()).collect();
    thanked.sort();
    assert_eq!(thanked.len(), people.len());
    assert_eq!(rows, thanked, "one row for each who was thanked, and no other");
    let on_the_way = tables.rows("SELECT username, state, last_error FROM registrations WHERE state NOT IN (13, 100)");
    let undecided: Vec<_> = people.iter().filter(|person| on_the_way.iter().any(|row| row[0] == person.name)).collect();
    assert!(on_the_way.is_empty(), "{on_the_way:?} {undecided:?}");
}

fn no_name_is_two_peoples(tables: &Tables) {
    for sql in [
        "SELECT claimed_username FROM registrations WHERE claimed_username IS NOT NULL GROUP BY claimed_username HAVING COUNT(*) > 1",
        "SELECT username FROM registrations WHERE state = 100 GROUP BY username HAVING COUNT(*) > 1",
        "SELECT submission FROM registrations GROUP BY submission HAVING COUNT(*) > 1",
        "SELECT localpart FROM logins GROUP BY localpart HAVING COUNT(*) > 1",
        "SELECT username FROM registrations WHERE (state = 100) <> (claimed_username IS NOT NULL)",
    ] {
        assert!(tables.rows(sql).is_empty(), "{sql}: {:?}", tables.rows(sql));
    }
}

fn decisions_are_what_the_deciders_heard(tables: &Tables, people: &[Person]) {
    let rows = tables.rows("SELECT email, state FROM registrations WHERE decided_at IS NOT NULL").into_iter();
    let decided: BTreeMap<_, _> = rows.map(|row| (row[0].clone(), row[1].clone())).collect();
    for person in people {
        let heard: BTreeSet<_> = person.verdicts.iter().map(|verdict| if *verdict == "approved" { "100" } else { "13" }).collect();
        let state = decided.get(&person.address()).map(String::as_str);
        assert_eq!(heard.into_iter().collect::<Vec<_>>(), state.into_iter().collect::<Vec<_>>(), "{person:?}");
    }
}

/// In both modes the homeserver must have the approved accounts; in local mode, so must our table.
fn accounts_are_those_that_were_approved(nodes: &Nodes, tables: &Tables, people: &[Person], mode: &str) -> usize {
    let approved: Vec<_> = tables.rows("SELECT username FROM registrations WHERE state = 100 ORDER BY username").concat();
    let logins: Vec<_> = tables.rows("SELECT localpart FROM logins ORDER BY localpart").concat();
    assert_eq!(logins, if mode == "local" { approved.clone() } else { Vec::new() });
    let there = people.iter().map(|person| person.name.clone()).filter(|name| nodes.synapse.exists(name));
    assert_eq!(there.collect::<BTreeSet<_>>(), approved.iter().cloned().collect());
    approved.len()
}

fn the_room_has_one_message_each(nodes: &Nodes, people: &[Person]) {
    let messages = nodes.synapse.messages(&nodes.room);
    for person in people {
        let address = person.address();
        let about = messages.iter().filter(|message| message.body.split_whitespace().any(|word| word == address)).count();
        assert_eq!(about, 1, "messages about {address}");
    }
    assert_eq!(messages.len(), people.len());
}

fn nobody_holds_anything(tables: &Tables) {
    assert_eq!(tables.number("SELECT COUNT(*) FROM registrations WHERE lease IS NOT NULL"), 0, "leases");
    assert_eq!(tables.number("SELECT COUNT(*) FROM locks"), 0, "locks");
}

/// Two mails per person, by Message-ID; copies must be identical.
fn each_mail_is_one(nodes: &Nodes, people: &[Person]) -> (usize, usize) {
    let mails = nodes.mails.all();
    let mut by_id: BTreeMap<&str, Vec<&Mail>> = BTreeMap::new();
    for mail in &mails {
        by_id.entry(mail.header("Message-ID")).or_default().push(mail);
    }
    for (id, copies) in &by_id {
        let same = |mail: &&Mail| {
            (mail.subject(), &mail.text, mail.header("To")) == (copies[0].subject(), &copies[0].text, copies[0].header("To"))
        };
        assert!(copies.len() <= 2 && copies.iter().all(same), "{id}: {copies:#?}");
    }
    assert_eq!(by_id.len(), 2 * people.len(), "one to confirm and one with the outcome for each");
    (mails.len(), mails.len() - by_id.len())
}
