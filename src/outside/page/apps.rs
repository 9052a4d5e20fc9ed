//! The apps that pages and mails recommend to new users.

use crate::domain::config::{AppUrl, Config, Language};
use crate::domain::text_key::{Key, way_in};
use crate::outside::text::Texts;
use serde::Serialize;

/// The apps unless the operator names others: name, URL, note.
///
/// * Element on phones takes the homeserver from a provisioning link, since version 25.05.2 on iOS and 25.06.0 on Android
///   (Element Server Suite documentation, "Mobile client provisioning").
/// * Element Web takes no homeserver from a link, lest people be lured to a false one (element-hq/element-web issue 5469), so
///   the note says what to enter.
/// * Cinny's page for logging in has the homeserver in its path (`LOGIN_PATH` in cinnyapp/cinny, src/app/pages/paths.ts).
const APPS: [(&str, &str, Key); 3] = [
    ("Element", "https://mobile.element.io/element?account_provider={homeserver}", way_in::APP_ELEMENT),
    ("Element Web", "https://app.element.io/#/login", way_in::APP_ELEMENT_WEB),
    ("Cinny", "https://app.cinny.in/login/{homeserver}", way_in::APP_CINNY),
];

/// An app as templates show it.
#[derive(Debug, Serialize)]
pub(super) struct AppLink {
    name: String,
    url: String,
    /// May be empty.
    note: String,
}

pub(super) fn apps(config: &Config, language: Language, texts: &Texts) -> Vec<AppLink> {
    let homeserver = config.homeserver_for_people();
    let Some(own) = &config.pages.apps else {
        let built_in = |(name, url, note): (&str, &str, Key)| AppLink {
            name: name.to_owned(),
            url: url.parse::<AppUrl>().map(|url| url.link(&homeserver)).unwrap_or_default(),
            note: texts.say(note, &[("homeserver", &homeserver)]),
        };
        return APPS.into_iter().map(built_in).collect();
    };
    let linked = own.iter().map(|app| AppLink {
        name: app.name.clone(),
        url: app.url.link(&homeserver),
        note: app.note.as_ref().and_then(|note| note.in_language(language)).unwrap_or_default().to_owned(),
    });
    linked.collect()
}
