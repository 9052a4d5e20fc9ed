//! Programs die at each point of an account: nothing is lost, nothing is done twice, and nobody's account is taken over.

use crate::world::{Engine, Host, Mas, on_every_database};
use crate::{Story, finish, fresh, is_complete};
use matrix_register_bot::outside::fault::DIE_AT_VARIABLE;

/// Where cron dies; the numbers count the answers of MAS.
const POINTS: [&str; 13] = [
    "mas asked",
    "mas answered",
    "mas answered:2",
    "account try noted",
    "mas answered:3",
    "account noted",
    "mas answered:4",
    "mas answered:5",
    "mas answered:6",
    "password noted",
    "mas answered:7",
    "settle",
    "settled",
];

fn a_program_that_dies_anywhere_leaves_one_account(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let mut deaths = 0;
    for point in POINTS {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        // Approved, and left to cron.
        mas.calm();
        mas.fail("token", "refused", 1);
        crate::approve(&story, &ada);
        story.sql("UPDATE registrations SET due_at = 0");
        let died = story.site.run_with("cron", &[], &[(DIE_AT_VARIABLE, point)], b"");
        deaths += usize::from(died.status.code().is_none());
        finish(&story, &ada);
        is_complete(&story, &mas, &ada);
    }
    assert!(deaths >= POINTS.len() - 1, "{deaths} deaths");
    assert!(mas.calls().iter().all(|(_, _, body)| !body.contains("skip_homeserver_check")));
}

/// The same while MAS makes half accounts now and then, and the bot may see whose they are.
fn a_program_that_dies_with_half_an_account_completes_it(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site.set("room.access_token", mas.synapse.admin.token.as_str()));
    mas.synapse.invite(&story.room, &mas.synapse.bot, &mas.synapse.admin);
    for (fault, point) in
        [("killed", "mas answered:3"), ("half-made", "mas answered:4"), ("killed", "account noted"), ("half-made", "settle")]
    {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        mas.calm();
        mas.fail("create", fault, 1);
        crate::approve(&story, &ada);
        story.sql("UPDATE registrations SET due_at = 0");
        story.site.run_with("cron", &[], &[(DIE_AT_VARIABLE, point)], b"");
        finish(&story, &ada);
        is_complete(&story, &mas, &ada);
    }
}

on_every_database! {
    a_program_that_dies_anywhere_leaves_one_account,
}

// What follows depends on no database.
on_every_database!(once Sqlite: a_program_that_dies_with_half_an_account_completes_it);
