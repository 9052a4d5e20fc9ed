use crate::world::Host;
use crate::{Story, fresh};

#[test]
fn every_dead_end_of_the_mailed_link_says_which_one_it_is() {
    let story = Story::start("synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let link = story.verify_mail(&ada).link();
    let page = story.browser.get(&link);
    assert_eq!(story.browser.submit(&page.form()).status, 200);
    for (place, status, sentence) in [
        (link.clone(), 200, "confirmed already"),
        ("/verify?t=0123456789abcdef0123456789abcdef".into(), 404, "do not know this link"),
        ("/verify?t=%22%3E%3Cscript%3E".into(), 404, "do not know this link"),
        ("/verify".into(), 404, "not complete"),
        ("/verify_admin?t=0123456789abcdef0123456789abcdef".into(), 404, "do not know this request"),
    ] {
        let page = story.browser.get(&place);
        assert_eq!(page.status, status, "{place}");
        assert!(page.text().contains(sentence), "{place}: {}", page.text());
    }
    assert!(story.browser.submit(&page.form()).text().contains("confirmed already"), "a replayed button");
    story.decide(&ada, "approve", "");
    assert!(story.browser.get(&link).text().contains("approved already"));
}

#[test]
fn an_expired_link_says_so_and_the_name_is_free_again() {
    let story = Story::start("synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let link = story.verify_mail(&ada).link();
    let page = story.browser.get(&link);
    story.sql("UPDATE registrations SET state_since = state_since - 49 * 3600");
    assert!(story.site.run_cron().status.success());
    let expired = story.browser.get(&link);
    assert_eq!(expired.status, 410);
    assert!(expired.text().contains("expired"), "{}", expired.text());
    assert_eq!(story.browser.submit(&page.form()).status, 410);
    let left: String = story.database().query_row("SELECT first_name || email || note FROM registrations", [], |row| row.get(0)).unwrap();
    assert_eq!(left, "", "the person is forgotten");
    story.ask(&ada);
}

#[test]
fn a_button_that_waited_too_long_changes_nothing_and_says_so() {
    let story = Story::start("synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let token = story.verify_mail(&ada).link().split("t=").nth(1).unwrap().to_owned();
    let page = story.browser.post("/verify", &[("t", &token), ("form_token", "AAAA")]);
    assert_eq!(page.status, 409);
    assert_eq!(story.state(&ada), 1);
}
