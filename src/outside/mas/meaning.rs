//! What the titles of MAS's errors mean. There are no codes, and 409 and 500 have several meanings, so the English titles are all
//! there is to go by. They are compared in this file only; a title that is not known means "later".

/// What an error answer means, as far as anybody decides on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// MAS has an account of this name, in any case of letters; perhaps a deactivated one.
    NameTaken,
    /// MAS has no such account, and the homeserver does not give the name: taken there, an application service's, only digits,
    /// or too long.
    Reserved,
    NameNotValid,
    NotFound,
    PasswordTooWeak,
    /// `passwords.enabled: false`.
    PasswordsOff,
    AddressTaken,
    AddressNotValid,
    /// The homeserver did not answer MAS's question whether the name is free. Nothing was made.
    HomeserverAway,
    /// The homeserver was told to make the account, and MAS does not know whether it did. MAS itself has made nothing.
    HomeserverUnclear,
    /// MAS and the homeserver have different secrets. Nothing was made.
    WrongSecret,
    DatabaseAway,
    /// Somebody else took the name at the same time. Nothing was made.
    LostRace,
    /// The token has expired or was revoked.
    TokenOver,
    /// The token is not of this MAS, or not for the admin API.
    TokenUnfit,
    /// The header `Authorization` did not arrive.
    NoHeader,
    /// 404 without an error of MAS: `adminapi` is not among the resources of this listener, or the path is wrong.
    NoAdminApi,
    Unknown,
}

/// The meaning of an answer with this status and these titles: the error first, then its causes.
pub(super) fn of(status: u16, titles: &[String]) -> Meaning {
    let first = titles.first().map_or("", String::as_str);
    let says = |words: &str| titles.iter().any(|title| title.contains(words));
    match (status, first) {
        (404 | 405, "") => Meaning::NoAdminApi,
        (404, _) if first.contains("not found") => Meaning::NotFound,
        (409, "User already exists") => Meaning::NameTaken,
        (409, "Username is reserved by the homeserver") => Meaning::Reserved,
        (409, _) if first.starts_with("User email ") && first.ends_with("already in use") => Meaning::AddressTaken,
        (400, "Username is not valid") => Meaning::NameNotValid,
        (400, "Password is too weak") => Meaning::PasswordTooWeak,
        (400, _) if first.starts_with("Email ") && first.ends_with("is not valid") => Meaning::AddressNotValid,
        (400, "Missing authorization header" | "Invalid authorization header") => Meaning::NoHeader,
        (401, "Access token expired" | "Access token revoked") => Meaning::TokenOver,
        (401, _) => Meaning::TokenUnfit,
        (403, "Password auth is disabled") => Meaning::PasswordsOff,
        (500, _) if says("This endpoint must only be called by MAS") => Meaning::WrongSecret,
        (500, _) if first.contains("localpart availability from Synapse") => Meaning::HomeserverAway,
        (500, _) if first.starts_with("Failed to provision user") => Meaning::HomeserverUnclear,
        (500, _) if first.starts_with("Expected 1 rows to be affected") => Meaning::LostRace,
        (500, _) if says("pool timed out") || first.starts_with("Couldn't load the database") => Meaning::DatabaseAway,
        _ => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, titles: &[&str]) -> Meaning {
        of(status, &titles.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_error_is_told_by_its_title() {
        for (status, titles, expected) in [
            (409, &["User already exists"][..], Meaning::NameTaken),
            (409, &["Username is reserved by the homeserver"], Meaning::Reserved),
            (409, &["User email \"MAX@mail.test\" already in use"], Meaning::AddressTaken),
            (404, &["User with username \"nobody\" not found"], Meaning::NotFound),
            (404, &[], Meaning::NoAdminApi),
            (400, &["Email \"x\" is not valid", "Missing domain or user"], Meaning::AddressNotValid),
            (500, &["Failed to check localpart availability from Synapse", "client error (Connect)"], Meaning::HomeserverAway),
            (500, &["Failed to provision user in Synapse", "connection closed"], Meaning::HomeserverUnclear),
            (
                500,
                &["Failed to query localpart availability from Synapse", "M_UNKNOWN: This endpoint must only be called by MAS"],
                Meaning::WrongSecret,
            ),
            (500, &["Couldn't load the database repository", "pool timed out while waiting for an open connection"], Meaning::DatabaseAway),
            (500, &["Expected 1 rows to be affected, but 0 rows were affected"], Meaning::LostRace),
            (401, &["Access token expired"], Meaning::TokenOver),
            (401, &["Missing urn:mas:admin scope"], Meaning::TokenUnfit),
        ] {
            assert_eq!(meaning(status, titles), expected, "{status} {titles:?}");
        }
    }

    #[test]
    fn what_no_mas_says_today_is_tried_again() {
        for (status, titles) in
            [(409, &["Username collides with a constellation"][..]), (409, &[]), (400, &["user already exists"]), (403, &["Locked"])]
        {
            assert_eq!(meaning(status, titles), Meaning::Unknown, "{status} {titles:?}");
        }
    }
}
