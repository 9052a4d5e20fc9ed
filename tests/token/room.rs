//! The room on Conduit: `/relations` knows no direction, lists the oldest first, and a hundred at most.

use crate::world::Conduit;
use crate::{at_conduit, fresh, is_complete, run_cron};

#[test]
fn a_reaction_in_the_room_decides_on_conduit_too() {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let message = story.room_message(&ada);
    conduit.home.clients.react(&story.room, &conduit.home.clients.alice, &message.event_id, "👍");
    run_cron(&story);
    is_complete(&story, &conduit.home, &ada);
}
