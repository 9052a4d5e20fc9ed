//! Buttons and links: who may press them, how often, and what guessing reveals.

use crate::the_story::{Story, address_of, fresh};
use crate::world::Host;
use matrix_register_bot::domain::token::{self, Secret};
use std::collections::BTreeSet;

fn token_of(link: &str) -> String {
    link.split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

#[test]
fn a_button_works_with_its_own_token_only() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    story.ask(&ada);
    story.ask(&eve);
    let (of_ada, of_eve) = (token_of(&story.verify_mail(&ada).link()), token_of(&story.verify_mail(&eve).link()));
    let form_of = |token: &str| story.browser.get(&format!("/verify?t={token}")).form().value("form_token").to_owned();
    let secret_of_another_site = Secret::new([7; 32]);
    let now = crate::the_story::now();
    for (what, form_token) in [
        ("none", String::new()),
        ("the register form's", story.browser.get("/register").form().value("form_token").to_owned()),
        ("one of another request", form_of(&of_eve)),
        ("another site's", token::form_token(&secret_of_another_site, "verify", &of_ada, now)),
        ("the link's own", of_ada.clone()),
    ] {
        let page = story.browser.post("/verify", &[("t", &of_ada), ("form_token", &form_token)]);
        assert_eq!(page.status, 409, "{what}: {}", page.text());
    }
    let by_get = story.browser.get(&format!("/verify?t={of_ada}&form_token={}", form_of(&of_ada)));
    assert_eq!(by_get.status, 200);
    let token_in_the_address = story.browser.post(&format!("/verify?t={of_ada}&form_token={}", form_of(&of_ada)), &[("x", "y")]);
    assert_eq!(token_in_the_address.status, 404, "what stands in the address is no form");
    assert_eq!(story.state(&ada), 1, "nothing of this confirmed");

    // Another site in the visitor's browser knows at most the link, but not our form token: only the right one from our page
    // works.
    assert_eq!(story.browser.post("/verify", &[("t", &of_ada), ("form_token", &form_of(&of_ada))]).status, 200);
    assert_eq!(story.state(&ada), 6);
    let admin = token_of(&story.room_message(&ada).link());
    let decision_token = story.browser.get(&format!("/verify_admin?t={admin}")).form().value("form_token").to_owned();
    for (what, link, form_token) in [
        ("none", &admin, String::new()),
        ("the applicant's link", &of_ada, decision_token.clone()),
        ("the other button's", &admin, form_of(&of_eve)),
        ("another site's", &admin, token::form_token(&secret_of_another_site, "verify_admin", &admin, now)),
    ] {
        let page = story.browser.post("/verify_admin", &[("t", link), ("form_token", &form_token), ("decision", "approve")]);
        assert!([404, 409].contains(&page.status), "{what}: {} {}", page.status, page.text());
    }
    assert_eq!(story.browser.get(&format!("/verify?t={admin}")).status, 404, "the room's link is not the applicant's");
    assert_eq!(story.state(&ada), 6);
}

#[test]
fn pressing_a_button_again_does_nothing_again() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let form = story.filled_form(&ada);
    for _ in 0..3 {
        assert_eq!(story.browser.submit(&form).status, 200);
    }
    // The same token for somebody else does not count as a second request.
    let other = fresh("other");
    let page = story.browser.submit(&story.fill(form.clone(), &other).put("form_token", form.value("form_token")));
    assert_eq!(page.status, 422, "{}", page.text());
    let button = story.browser.get(&story.verify_mail(&ada).link()).form();
    for _ in 0..3 {
        assert_eq!(story.browser.submit(&button).status, 200);
    }
    let link = story.room_message(&ada).link();
    let page = story.browser.get(&link);
    let decision = crate::the_story::decision_form(&page, "approve", "");
    for _ in 0..3 {
        assert_eq!(story.browser.submit(&decision).status, 200);
    }
    // Nor does the other decision, with the token that was valid for both.
    story.browser.submit(&crate::the_story::decision_form(&page, "decline", "changed my mind"));
    assert_eq!((story.state(&ada), story.number("SELECT count(*) FROM registrations")), (100, 1));
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2);
    assert_eq!((story.mails.count(), story.synapse.messages(&story.room).len()), (2, 1));
}

#[test]
fn a_link_has_128_bits_and_a_wrong_one_tells_nothing() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let names: Vec<String> = (0..20).map(|_| fresh("ada")).collect();
    let tokens: BTreeSet<String> = names
        .iter()
        .map(|name| {
            story.ask(name);
            token_of(&story.verify_mail(name).link())
        })
        .collect();
    assert!(
        tokens.len() == names.len() && tokens.iter().all(|token| token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
    let real = tokens.first().unwrap();
    let last = if real.ends_with('0') { "1" } else { "0" };
    let near = format!("{}{last}", &real[..31]);
    let shown = |token: &str| {
        let page = story.browser.get(&format!("/verify?t={token}"));
        assert_eq!(page.status, 404, "{token}");
        page.body.replace(token, "TOKEN")
    };
    let near_page = shown(&near);
    for token in ["00000000000000000000000000000000", "ffffffffffffffffffffffffffffffff", &near[..32]] {
        assert_eq!(shown(token), near_page, "{token}");
    }
    for token in [
        &real[..31],
        &format!("{real}0"),
        &real.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A"),
        "%00",
        "' OR 1=1 --",
        "*",
        "%25",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        assert_eq!(story.browser.get(&format!("/verify?t={encoded}")).status, 404, "{token}");
    }
    for hash in story.database.rows("SELECT verify_token_hash, admin_token_hash, seed, submission FROM registrations").concat() {
        assert_eq!(story.browser.get(&format!("/verify?t={hash}")).status, 404, "what is in the database opens no link");
        assert_eq!(story.browser.get(&format!("/verify_admin?t={}", &hash[..32])).status, 404);
    }
}
