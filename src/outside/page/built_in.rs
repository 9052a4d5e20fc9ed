//! The sources of the templates: the operator's files, or else the built-in ones.

use crate::domain::config::Config;
use crate::domain::error::Error;
use crate::outside::watched::Watched;
use std::borrow::Cow;

/// The operator's file, else the built-in one.
pub(super) fn source(config: Option<&Config>, name: &str, files: &mut Watched) -> Result<Cow<'static, str>, Error> {
    if let Some(folder) = config.and_then(|config| config.pages.templates.as_deref()) {
        let path = folder.join(name);
        let own =
            files.read(&path).map_err(|cause| Error::internal(format!("pages.templates: cannot read {}: {cause}", path.display())))?;
        if let Some(text) = own {
            return Ok(Cow::Owned(text));
        }
    }
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    built_in.map(|(_, text)| Cow::Borrowed(*text)).ok_or_else(|| Error::internal(format!("templates: there is no {name}")))
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../../templates/", $name)))),*] };
}

/// All templates of the repository.
pub(super) const BUILT_IN: &[(&str, &str)] = built_in![
    "page/layout.html",
    "page/steps.html",
    "page/style.css",
    "page/register.html",
    "page/registered.html",
    "page/verify.html",
    "page/verified.html",
    "page/withdraw.html",
    "page/standing.html",
    "page/welcome.html",
    "page/welcomed.html",
    "page/decide.html",
    "page/decided.html",
    "page/reset_password.html",
    "page/new_password.html",
    "page/password.html",
    "page/message.html",
    "page/error.html",
    "page/way_in.html",
    "mail/layout.html",
    "mail/foot.txt",
    "mail/way_in.txt",
    "mail/way_in.html",
    "mail/hello.txt",
    "mail/hello.html",
    "mail/verify.subject",
    "mail/verify.txt",
    "mail/verify.html",
    "mail/choose.subject",
    "mail/choose.txt",
    "mail/choose.html",
    "mail/choose_again.subject",
    "mail/choose_again.txt",
    "mail/choose_again.html",
    "mail/choose_reminder.subject",
    "mail/choose_reminder.txt",
    "mail/choose_reminder.html",
    "mail/credentials.subject",
    "mail/credentials.txt",
    "mail/credentials.html",
    "mail/declined.subject",
    "mail/declined.txt",
    "mail/declined.html",
    "mail/refused.subject",
    "mail/refused.txt",
    "mail/refused.html",
    "mail/reset_password.subject",
    "mail/reset_password.txt",
    "mail/reset_password.html",
    "mail/password_ends.subject",
    "mail/password_ends.txt",
    "mail/password_ends.html",
    "mail/question.subject",
    "mail/question.txt",
    "mail/question.html",
    "room/reminders.txt",
    "room/reminders.html",
    "room/answer.txt",
    "room/answer.html",
    "room/of_applicant.txt",
    "room/of_applicant.html",
    "mail/undecided.subject",
    "mail/undecided.txt",
    "mail/undecided.html",
    "room/request.txt",
    "room/request.html",
    "room/reminder.txt",
    "room/reminder.html",
];
