//! Possible contents of the PHP program's database: any text in any column, and hashes of any kind.

use super::NOW;
use matrix_register_bot::domain::config::{Language, OperationMode};
use matrix_register_bot::domain::directory::{self, TermKind};
use matrix_register_bot::domain::password;
use matrix_register_bot::domain::registration::State;
use matrix_register_bot::domain::token::Secret;
use matrix_register_bot::outside::store::php::{PhpLogin, PhpRegistration, PhpRows};
use matrix_register_bot::outside::take_over::plan::{PlannedRegistration, Rules, plan};
use std::collections::HashSet;

/// Every row continues or is reported, and rows that continue fit into our tables in every database.
pub fn take_over(rows: &PhpRows, mode: OperationMode) {
    let secret = Secret::new([7; 32]);
    let rules = Rules { secret: &secret, mode, language: Language::English, bot_localpart: "register_bot", now: NOW };
    let plan = plan(rows, &rules);
    let report = plan.report();
    let left_out = report.remarks.iter().filter(|remark| remark.contains(" left out")).count();
    assert_eq!(plan.registrations.len() + plan.logins.len() + left_out, rows.registrations.len() + rows.logins.len());

    for row in rows.logins.iter().filter(|row| password::is_too_costly(&row.password_hash)) {
        let named = format!("account {} has a ", row.id);
        assert!(report.remarks.iter().any(|remark| remark.starts_with(&named)), "nothing is said of the hash of account {}", row.id);
    }
    let (mut usernames, mut links) = (HashSet::new(), HashSet::new());
    for planned in &plan.registrations {
        let row = &planned.row;
        assert!((1..=255).contains(&row.username.chars().count()) && row.email_folded.chars().count() <= 320);
        assert!(!row.claims_username || usernames.insert(row.username.clone()), "{:?} is claimed twice", row.username);
        assert!(row.state.is_final() || !row.email.is_empty());
        assert!(row.php_links.iter().all(|(_, hash)| hash.len() <= 64 && links.insert(hash.clone())), "a link is there twice");
        typed_password(planned);
    }
    let (mut localparts, mut mailed) = (HashSet::new(), HashSet::new());
    for planned in &plan.logins {
        let row = &planned.row;
        assert!((1..=255).contains(&row.localpart.chars().count()));
        assert!(localparts.insert(&row.localpart), "{:?} is there twice", row.localpart);
        assert!(row.password_hash.chars().count() <= 255 && row.email_folded.chars().count() <= 320);
        assert!(planned.initial_password_of.as_ref().is_none_or(|seed| mailed.insert(seed)), "one password for two accounts");
        let terms = directory::terms(&row.localpart, &row.first_name, &row.last_name, &row.email);
        for kind in [TermKind::Localpart, TermKind::NameStart, TermKind::NameWord, TermKind::Address] {
            assert!(terms.iter().filter(|(known, _)| *known == kind).count() <= kind.most_of_an_account());
        }
        assert!(terms.iter().all(|(_, term)| !term.is_empty() && term.chars().count() <= directory::TERM_MAX_CHARACTERS));
    }
    assert!(plan.logins.iter().filter(|planned| planned.row.active).count() <= rows.logins.iter().filter(|row| row.active).count());
}

/// A password in clear is kept until it is sealed, and only if an account can still get it.
fn typed_password(planned: &PlannedRegistration) {
    let Some(password) = &planned.typed_password else { return };
    assert!(planned.row.password_chosen && !password.is_empty() && password.len() <= password::MAX_BYTES && !password.contains('\0'));
    assert!(!matches!(planned.row.state, State::MailCredentials | State::Done | State::Declined | State::Expired));
}

/// Rows from a text: records are separated by 0x1e, their fields by 0x1f. A record that starts with `l` is an account.
pub fn rows(text: &str) -> PhpRows {
    let mut rows = PhpRows::default();
    for (index, record) in text.split('\u{1e}').enumerate() {
        let id = index as i64 + 1;
        let mut fields = record.split('\u{1f}');
        let kind = fields.next().unwrap_or("");
        let mut next = || fields.next().unwrap_or("").to_owned();
        let number = |text: String| text.trim().parse::<i64>().ok();
        if kind.starts_with('l') {
            rows.logins.push(PhpLogin {
                id,
                active: !kind.ends_with('0'),
                localpart: next(),
                email: next(),
                first_name: next(),
                last_name: next(),
                password_hash: next(),
                created_at: number(next()),
                changed_at: number(next()),
            });
        } else {
            rows.registrations.push(PhpRegistration {
                id,
                has_no_id: kind.ends_with('0'),
                state: number(next()),
                username: next(),
                email: next(),
                password: next(),
                verify_token: next(),
                admin_token: next(),
                first_name: next(),
                last_name: next(),
                note: next(),
                requested_at: number(next()),
            });
        }
    }
    rows
}

/// Any hash is checked or refused, within the time and memory of a login.
pub fn stored_hash(password: &str, stored: &str) {
    let right = password::verify(password, stored);
    let right_php = password::verify_php(password, stored);
    assert!(!(right && right_php), "{stored:?} is a hash of both kinds");
    assert!(!right || password::is_hash(stored));
    assert!(!right_php || password::is_php_hash(stored));
}
