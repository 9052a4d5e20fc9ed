//! Several machines: one database with several web nodes, each with its cron, while servers and programs are killed.
//!
//! `make nodes` runs the long version and prints the figures of docs/several-machines.md.

#[path = "../world/mod.rs"]
mod world;

mod cluster;
mod nodes;
mod people;
mod promises;
mod tables;

use nodes::Nodes;
use people::{Club, Person};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tables::Tables;
use world::Engine;

/// The settings of a run.
struct Storm {
    engine: Engine,
    mode: &'static str,
    /// A multiple of four.
    people: usize,
    /// How many people act at the same time, in groups of four.
    at_once: usize,
    /// How many times a database server is killed.
    database_kills: usize,
}

#[test]
fn three_nodes_and_a_galera_cluster_lose_nothing_and_do_nothing_twice() {
    Storm { engine: Engine::Mariadb, mode: "local", people: 24, at_once: 6, database_kills: 1 }.rage();
}

#[test]
fn three_nodes_and_postgresql_lose_nothing_and_do_nothing_twice() {
    Storm { engine: Engine::Postgres, mode: "local", people: 24, at_once: 6, database_kills: 1 }.rage();
}

#[test]
fn accounts_in_synapse_are_made_once_by_three_nodes() {
    Storm { engine: Engine::Postgres, mode: "synapse", people: 8, at_once: 2, database_kills: 1 }.rage();
}

#[test]
fn a_standby_takes_over_and_nothing_that_was_promised_is_lost() {
    let storm = Storm { engine: Engine::Postgres, mode: "local", people: 16, at_once: 4, database_kills: 1 };
    storm.rage_over(Tables::with_standby());
}

#[test]
#[ignore = "takes minutes: make nodes"]
fn a_long_storm_over_galera() {
    Storm { engine: Engine::Mariadb, mode: "local", people: 600, at_once: 12, database_kills: 3 }.rage();
}

#[test]
#[ignore = "takes minutes: make nodes"]
fn a_long_storm_over_postgresql() {
    Storm { engine: Engine::Postgres, mode: "synapse", people: 600, at_once: 12, database_kills: 3 }.rage();
}

impl Storm {
    fn rage(&self) {
        self.rage_over(Tables::start(self.engine));
    }

    fn rage_over(&self, mut tables: Tables) {
        let nodes = Nodes::start(&tables.urls(), self.mode);
        let start = Instant::now();
        let club = Club::new(&nodes);
        let prefix = format!("p{}{}{}x", world::mark(), self.engine.name(), self.people);
        let mut people: Vec<_> = (0..self.people).map(|number| Person::new(number, &prefix)).collect();
        let (misfortune, goes_on) = (AtomicBool::new(true), AtomicBool::new(true));
        thread::scope(|scope| {
            scope.spawn(|| club.watch_room(&goes_on));
            // All at once on an empty database.
            let crons: Vec<_> = (0..3)
                .map(|node| {
                    scope.spawn({
                        let (nodes, go) = (&nodes, &misfortune);
                        move || nodes.run_crons(node, go)
                    })
                })
                .collect();
            let killer = scope.spawn(|| self.kill_programs(&nodes, &misfortune));
            let database_killer = scope.spawn(|| self.kill_databases(&mut tables, &club));
            self.all_live(&club, &mut people);
            database_killer.join().unwrap();
            misfortune.store(false, Ordering::Relaxed);
            killer.join().unwrap();
            crons.into_iter().for_each(|cron| cron.join().unwrap());
            goes_on.store(false, Ordering::Relaxed);
        });
        let stormed = start.elapsed();
        let left = tables.number("SELECT COUNT(*) FROM registrations WHERE state NOT IN (13, 100)");
        settle(&club, &tables, &mut people);
        let found = promises::check(&nodes, &tables, &people, self.mode);
        self.print(&club, &people, &found, stormed, left);
    }

    /// Everybody gets as far as possible for now.
    fn all_live(&self, club: &Club, people: &mut [Person]) {
        let (queue, fours) = mpsc::channel();
        people.chunks_mut(4).for_each(|four| queue.send(four).unwrap());
        drop(queue);
        let fours = Mutex::new(fours);
        thread::scope(|scope| {
            for _ in 0..self.at_once {
                scope.spawn(|| {
                    loop {
                        let Ok(four) = ({ fours.lock().unwrap().recv() }) else { break };
                        club.four(four);
                    }
                });
            }
        });
    }

    fn kill_programs(&self, nodes: &Nodes, goes_on: &AtomicBool) {
        for turn in 0.. {
            thread::sleep(Duration::from_millis(700));
            if !goes_on.load(Ordering::Relaxed) {
                return;
            }
            nodes.kill_a_program(turn, turn / 3);
        }
    }

    /// Kills a server whenever this many more requests were confirmed.
    fn kill_databases(&self, tables: &mut Tables, club: &Club) {
        for turn in 0..self.database_kills {
            let due = self.people * (2 * turn + 1) / (2 * self.database_kills + 2);
            while club.filed.load(Ordering::Relaxed) < due {
                thread::sleep(Duration::from_millis(20));
            }
            tables.kill(turn);
            thread::sleep(Duration::from_secs(2));
            if self.engine == Engine::Mariadb {
                // The other servers continue after a while: some requests are confirmed before the node is back.
                let (before, end) = (club.filed.load(Ordering::Relaxed), Instant::now() + Duration::from_secs(20));
                while club.filed.load(Ordering::Relaxed) < (before + 4).min(self.people) && Instant::now() < end {
                    thread::sleep(Duration::from_millis(50));
                }
            }
            tables.revive(turn);
        }
    }

    fn print(&self, club: &Club, people: &[Person], found: &promises::Found, stormed: Duration, left: usize) {
        let nodes = club.nodes;
        let count = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::Relaxed);
        println!(
            "{} people over {} in {} mode, three nodes: {} forms sent in {:.0} s, {} rivals sent away, {} approved, {} declined; \
             {} kills of database servers, {} of programs, {} runs of cron; {} error pages seen, {} conflicts retried, {} connections renewed; \
             {left} left to cron when the storm was over; {} mails, {} of them a second copy",
            people.len(),
            self.engine.name(),
            self.mode,
            count(&club.forms_sent),
            stormed.as_secs_f64(),
            people.iter().filter(|person| person.lost_first_choice).count(),
            found.approved,
            people.len() - found.approved,
            self.database_kills,
            count(&nodes.programs_killed),
            count(&nodes.crons_run),
            count(&nodes.errors_seen),
            nodes.said("database_conflict_retried"),
            nodes.said("database_connection_renewed"),
            found.mails,
            found.mails_twice,
        );
    }
}

/// Lets time pass, so that leases of dead programs expire, and cron and people finish what is left.
fn settle(club: &Club, tables: &Tables, people: &mut [Person]) {
    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| club.watch_room(&goes_on));
        for _ in 0..10 {
            tables.rows("UPDATE registrations SET due_at = 0, lease_until = 0 WHERE state NOT IN (13, 100)");
            tables.rows("UPDATE locks SET held_until = 0");
            thread::scope(|scope| (0..3).for_each(|node| drop(scope.spawn(move || club.nodes.run_cron(node)))));
            people.iter_mut().filter(|person| !person.is_done()).for_each(|person| club.go_on(person));
            if tables.number("SELECT COUNT(*) FROM registrations WHERE state NOT IN (13, 100)") == 0 && people.iter().all(Person::is_done) {
                break;
            }
        }
        goes_on.store(false, Ordering::Relaxed);
    });
}
