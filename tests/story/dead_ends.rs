use crate::world::{Engine, Host, on_every_database};
use crate::{Story, fresh};

fn every_dead_end_of_the_mailed_link_says_which_one_it_is(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let link = story.verify_mail(&ada).link();
    let page = story.browser.get(&link);
    assert_eq!(story.browser.submit(&page.form()).status, 200);
    for (place, status, sentence) in [
        (link.clone(), 200, "Your address is confirmed"),
        ("/verify?t=0123456789abcdef0123456789abcdef".into(), 404, "This link does not work"),
        ("/verify?t=%22%3E%3Cscript%3E".into(), 404, "This link does not work"),
        ("/verify".into(), 404, "incomplete"),
        ("/verify_admin?t=0123456789abcdef0123456789abcdef".into(), 404, "could not find this request"),
    ] {
        let page = story.browser.get(&place);
        assert_eq!(page.status, status, "{place}");
        assert!(page.text().contains(sentence), "{place}: {}", page.text());
    }
    assert!(story.browser.submit(&page.form()).text().contains("Your address is confirmed"), "a replayed button");
    story.decide(&ada, "approve", "");
    assert!(story.browser.get(&link).text().contains("Your account is ready"));
}

fn an_expired_link_says_so_and_the_name_is_free_again(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let link = story.verify_mail(&ada).link();
    let page = story.browser.get(&link);
    story.sql("UPDATE registrations SET state_since = state_since - 49 * 3600");
    story.site.let_cron_succeed();
    let expired = story.browser.get(&link);
    assert_eq!(expired.status, 410);
    assert!(expired.text().contains("expired"), "{}", expired.text());
    assert_eq!(story.browser.submit(&page.form()).status, 410);
    let left = story.text("SELECT concat(first_name, email, note) FROM registrations");
    assert_eq!(left, "", "the person is forgotten");
    story.ask(&ada);
}

fn a_button_that_waited_too_long_changes_nothing_and_says_so(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let token = story.verify_mail(&ada).link().split("t=").nth(1).unwrap().to_owned();
    let page = story.browser.post("/verify", &[("t", &token), ("form_token", "AAAA")]);
    assert_eq!(page.status, 409);
    assert_eq!(story.state(&ada), 1);
}

on_every_database! {
    every_dead_end_of_the_mailed_link_says_which_one_it_is,
    an_expired_link_says_so_and_the_name_is_free_again,
    a_button_that_waited_too_long_changes_nothing_and_says_so,
}
