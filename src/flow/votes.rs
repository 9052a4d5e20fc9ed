//! What the reactions to a message say. Pure, no I/O.

use crate::flow::deciding::Verdict;
use crate::outside::matrix::relations::Reaction;
use std::collections::{HashMap, HashSet};

/// What one person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote<'a> {
    pub sender: &'a str,
    pub verdict: Verdict,
}

/// The votes in the order of the reactions, one for each person. Whoever has reacted with a yes and a no counts for neither.
/// Reactions by `own` accounts do not count, because the bot puts both under each message.
pub fn votes<'a>(reactions: &'a [Reaction], own: &[String]) -> Vec<Vote<'a>> {
    let counting = reactions.iter().filter(|reaction| !own.contains(&reaction.sender));
    let votes: Vec<Vote> =
        counting.filter_map(|reaction| Some(Vote { sender: &reaction.sender, verdict: verdict(&reaction.key)? })).collect();
    let mut of_person: HashMap<&str, Option<Verdict>> = HashMap::new();
    for vote in &votes {
        let wanted = of_person.entry(vote.sender).or_insert(Some(vote.verdict));
        *wanted = wanted.filter(|wanted| *wanted == vote.verdict);
    }
    // Taken out at the first, so that each person is there once.
    votes.into_iter().filter(|vote| of_person.remove(vote.sender).flatten().is_some()).collect()
}

/// Whether somebody other than `own` has reacted with a yes and a no.
pub fn is_contradicted(reactions: &[Reaction], own: &[String]) -> bool {
    let people = || reactions.iter().filter(|reaction| !own.contains(&reaction.sender));
    let who = |wanted: Verdict| -> HashSet<&str> {
        people().filter(|reaction| verdict(&reaction.key) == Some(wanted)).map(|reaction| reaction.sender.as_str()).collect()
    };
    !who(Verdict::Approve).is_disjoint(&who(Verdict::Decline))
}

/// What an emoji means, in any skin and with or without the variation selectors that some clients add; `None`: it is talk.
fn verdict(key: &str) -> Option<Verdict> {
    let plain: String = key.trim().chars().filter(|c| !matches!(c, '\u{FE0E}' | '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}')).collect();
    match plain.as_str() {
        "👍" | "✅" | "✔" | "☑" => Some(Verdict::Approve),
        "👎" | "❌" => Some(Verdict::Decline),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reactions(said: &[(&str, &str)]) -> Vec<Reaction> {
        let reaction = |(number, (sender, key)): (usize, &(&str, &str))| Reaction {
            event_id: format!("${number}"),
            sender: (*sender).into(),
            key: (*key).into(),
            sent_at: 0,
        };
        said.iter().enumerate().map(reaction).collect()
    }

    fn counted(said: &[(&str, &str)]) -> Vec<(String, Verdict)> {
        let reactions = reactions(said);
        votes(&reactions, &["@bot:x".into()]).into_iter().map(|vote| (vote.sender.to_owned(), vote.verdict)).collect()
    }

    #[test]
    fn a_thumb_counts_in_every_skin_and_however_a_client_writes_it() {
        for yes in ["👍", "👍\u{FE0F}", "👍\u{1F3FE}", "👍\u{1F3FB}\u{FE0E}", " 👍 ", "✅", "✅\u{FE0F}", "✔", "✔\u{FE0F}", "☑\u{FE0F}"]
        {
            assert_eq!(verdict(yes), Some(Verdict::Approve), "{yes:?}");
        }
        for no in ["👎", "👎\u{FE0F}", "👎\u{1F3FD}", "❌", "❌\u{FE0F}"] {
            assert_eq!(verdict(no), Some(Verdict::Decline), "{no:?}");
        }
    }

    #[test]
    fn talk_decides_nothing() {
        for talk in ["", "👌", "👀", "🎉", "❤️", "+1", "yes", "👍👍", "👍👎", "approve", "mxc://example.org/thumb", "\u{FE0F}", "👎 👍"]
        {
            assert_eq!(verdict(talk), None, "{talk:?}");
        }
    }

    #[test]
    fn who_shows_both_thumbs_counts_for_neither() {
        assert!(counted(&[("@a:x", "👍"), ("@a:x", "👎")]).is_empty());
        let said = [("@a:x", "👎"), ("@b:x", "👎"), ("@a:x", "👍\u{FE0F}"), ("@a:x", "❌")];
        assert_eq!(counted(&said), [("@b:x".into(), Verdict::Decline)]);
        assert!(is_contradicted(&reactions(&said), &["@b:x".into()]));
        assert!(!is_contradicted(&reactions(&said), &["@a:x".into()]));
    }

    #[test]
    fn the_first_to_react_comes_first_and_each_person_once() {
        let said = [("@c:x", "👀"), ("@b:x", "👎"), ("@a:x", "👍"), ("@b:x", "❌"), ("@c:x", "✅")];
        let expected = [("@b:x", Verdict::Decline), ("@a:x", Verdict::Approve), ("@c:x", Verdict::Approve)];
        assert_eq!(counted(&said), expected.map(|(sender, verdict)| (sender.to_owned(), verdict)));
    }

    #[test]
    fn the_ballot_of_the_bot_decides_nothing() {
        assert!(counted(&[("@bot:x", "👍\u{FE0F}"), ("@bot:x", "👎\u{FE0F}")]).is_empty());
        assert!(counted(&[("@bot:x", "👍\u{FE0F}")]).is_empty());
    }
}
