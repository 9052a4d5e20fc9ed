use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, decision_form, fresh};

fn a_declined_applicant_hears_why_and_the_name_is_free_again(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let page = story.decide(&ada, "decline", "We are full.\nSorry <3");
    assert!(page.text().contains("Declined"), "{}", page.text());
    assert_eq!(story.state(&ada), 13);
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.text.contains("> We are full.\n> Sorry <3"), "{}", mail.text);
    assert!(mail.html.contains("Sorry &lt;3"), "{}", mail.html);
    assert!(!story.synapse.exists(&ada));
    story.ask(&ada);
}

fn the_second_decider_is_told_what_the_first_decided(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let link = story.room_message(&ada).link();
    let (first, second) = (story.browser.get(&link), story.browser.get(&link));
    assert_eq!(story.browser.submit(&decision_form(&first, "decline", "no")).status, 200);
    let told = story.browser.submit(&decision_form(&second, "approve", ""));
    assert!(told.text().contains("already been declined"), "{}", told.text());
    assert!(told.text().contains("somebody who opened the link in the room"), "{}", told.text());
    assert!(story.browser.get(&link).text().contains("already been declined"));
    assert!(!story.synapse.exists(&ada) && story.mails.count() == 2);
}

fn two_who_decide_at_the_same_moment_make_one_decision(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let page = story.browser.get(&story.room_message(&ada).link());
    let form = decision_form(&page, "approve", "");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| story.browser.submit(&form));
        }
    });
    story.site.run_cron();
    assert_eq!(story.state(&ada), 100);
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2, "one mail with credentials");
}

fn a_decision_needs_the_button_of_our_own_page(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let link = story.room_message(&ada).link();
    let token = link.split("t=").nth(1).unwrap();
    for form_token in ["", "forged"] {
        let page = story.browser.post("/verify_admin", &[("t", token), ("form_token", form_token), ("decision", "approve")]);
        assert_eq!(page.status, 409, "{}", page.text());
    }
    let verify_page = story.browser.get(&story.verify_mail(&ada).link());
    assert!(verify_page.text().contains("Your address is confirmed"));
    assert_eq!(story.state(&ada), 6);
}

fn the_links_of_the_php_program_preset_a_choice_and_decide_nothing(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let token = story.room_message(&ada).link().split("t=").nth(1).unwrap().to_owned();
    for (choice, address) in [("approve", "allow"), ("decline", "deny")] {
        let page = story.browser.get(&format!("//verify_admin.php?t={token}&d={address}"));
        assert_eq!(page.status, 200, "{choice}");
        assert!(page.text().contains("Approve") && page.text().contains("Decline"));
        assert_eq!(!page.texts("details[open]").is_empty(), choice == "decline", "the part to decline is open for who came to decline");
    }
    assert_eq!(story.state(&ada), 6);
}

on_every_database! {
    a_declined_applicant_hears_why_and_the_name_is_free_again,
    the_second_decider_is_told_what_the_first_decided,
    two_who_decide_at_the_same_moment_make_one_decision,
    a_decision_needs_the_button_of_our_own_page,
    the_links_of_the_php_program_preset_a_choice_and_decide_nothing,
}
