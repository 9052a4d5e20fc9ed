//! The life of a registration: its states, what moves it on, and what each state owes to the outside. Pure, no I/O.
//!
//! The state is the outbox: a move is committed first, and a state that owes an action (a mail, a room message, an
//! account) keeps owing it until the action is done. Whoever comes next, the same program or cron, finishes it.
//!
//! | state             | owes                | left by                                  | a crash here leaves                       |
//! |-------------------|---------------------|------------------------------------------|-------------------------------------------|
//! | `EmailSend`       | the mail to confirm | mail sent; link used before we knew; no mail box | the mail unsent, or sent once more with the same Message-ID |
//! | `EmailVerify`     | -                   | link used; time ran out                  | nothing                                   |
//! | `AdminSend`       | the room message    | message sent; decided before we knew     | the message unsent; a repetition has the same `txnId` |
//! | `AdminVerify`     | -                   | approved; declined                       | nothing                                   |
//! | `Register`        | the account         | account made; homeserver refused it      | the account unmade, or made and found to be ours |
//! | `MailCredentials` | the credentials     | mail sent; given up                      | the mail unsent, or sent once more with the same Message-ID |
//! | `Done`            | -                   | -                                        | nothing                                   |
//! | `DeclineSend`     | the mail that says no | mail sent; given up                    | as `EmailSend`                            |
//! | `Declined`        | -                   | -                                        | nothing                                   |
//! | `Expired`         | -                   | -                                        | nothing                                   |
//!
//! The numbers are the PHP program's; `DeclineSend` and `Expired` are new (it deleted such rows).

/// Where a registration stands. The number is what the database keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    EmailSend = 0,
    EmailVerify = 1,
    AdminSend = 5,
    AdminVerify = 6,
    Register = 7,
    MailCredentials = 8,
    DeclineSend = 12,
    Declined = 13,
    Expired = 14,
    Done = 100,
}

/// What moves a registration on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The mail with the link to confirm the address left.
    ConfirmMailSent,
    /// The applicant confirmed the address.
    AddressConfirmed,
    /// The address was not confirmed in time.
    TimeRanOut,
    /// The room has the message.
    RoomTold,
    Approved,
    Declined,
    AccountMade,
    /// The account was there already, made and mailed by the PHP program, which could not write that down.
    AccountFound,
    /// The homeserver will not make this account: the name is somebody else's by now, or reserved.
    AccountRefused,
    CredentialsSent,
    DeclineSent,
    /// The mail box is gone, or nothing could be sent for a month: the last mail is given up.
    GivenUp,
}

/// What a state owes to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    SendConfirmMail,
    TellRoom,
    MakeAccount,
    SendCredentials,
    SendDecline,
}

impl State {
    pub const ALL: [State; 10] = [
        State::EmailSend,
        State::EmailVerify,
        State::AdminSend,
        State::AdminVerify,
        State::Register,
        State::MailCredentials,
        State::DeclineSend,
        State::Declined,
        State::Expired,
        State::Done,
    ];

    /// The only place where a move is decided: the state after `event`, or `None` where it does not fit.
    pub fn after(self, event: Event) -> Option<State> {
        use State::*;
        match (self, event) {
            (EmailSend, Event::ConfirmMailSent) => Some(EmailVerify),
            // Whoever holds the link got the mail, even if the answer of the mail server was lost.
            (EmailSend | EmailVerify, Event::AddressConfirmed) => Some(AdminSend),
            // From EmailSend only a mail that cannot be sent at all; cron sees to that.
            (EmailSend | EmailVerify, Event::TimeRanOut) => Some(Expired),
            (AdminSend, Event::RoomTold) => Some(AdminVerify),
            // The link to decide stands in the room only, so the message is there even if we did not hear it.
            (AdminSend | AdminVerify, Event::Approved) => Some(Register),
            (AdminSend | AdminVerify, Event::Declined) => Some(DeclineSend),
            (Register, Event::AccountMade) => Some(MailCredentials),
            (Register, Event::AccountFound) => Some(Done),
            (Register, Event::AccountRefused) => Some(DeclineSend),
            (MailCredentials, Event::CredentialsSent | Event::GivenUp) => Some(Done),
            (DeclineSend, Event::DeclineSent | Event::GivenUp) => Some(Declined),
            _ => None,
        }
    }

    /// What this state owes to the outside; `None` where it waits for somebody, or for nothing any more.
    pub fn owes(self) -> Option<Action> {
        match self {
            State::EmailSend => Some(Action::SendConfirmMail),
            State::AdminSend => Some(Action::TellRoom),
            State::Register => Some(Action::MakeAccount),
            State::MailCredentials => Some(Action::SendCredentials),
            State::DeclineSend => Some(Action::SendDecline),
            State::EmailVerify | State::AdminVerify | State::Declined | State::Expired | State::Done => None,
        }
    }

    /// Whether the registration keeps its username from others. It is freed by decline and expiry; when a finished one
    /// is forgotten, the account itself holds the name.
    pub fn claims_username(self) -> bool {
        !matches!(self, State::DeclineSend | State::Declined | State::Expired)
    }

    /// Whether nothing will happen any more.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Declined | State::Expired)
    }

    pub fn number(self) -> i64 {
        self as i64
    }

    pub fn from_number(number: i64) -> Option<State> {
        State::ALL.into_iter().find(|state| state.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::*;

    const EVENTS: [Event; 12] = [
        Event::ConfirmMailSent,
        Event::AddressConfirmed,
        Event::TimeRanOut,
        Event::RoomTold,
        Event::Approved,
        Event::Declined,
        Event::AccountMade,
        Event::AccountFound,
        Event::AccountRefused,
        Event::CredentialsSent,
        Event::DeclineSent,
        Event::GivenUp,
    ];

    /// Every move there is, written down a second time and as pairs of states.
    const MOVES: [(State, State); 15] = [
        (EmailSend, EmailVerify),
        (EmailSend, AdminSend),
        (EmailSend, Expired),
        (EmailVerify, AdminSend),
        (EmailVerify, Expired),
        (AdminSend, AdminVerify),
        (AdminSend, Register),
        (AdminSend, DeclineSend),
        (AdminVerify, Register),
        (AdminVerify, DeclineSend),
        (Register, MailCredentials),
        (Register, Done),
        (Register, DeclineSend),
        (MailCredentials, Done),
        (DeclineSend, Declined),
    ];

    #[test]
    fn of_all_pairs_of_states_only_the_allowed_moves_exist() {
        for from in State::ALL {
            for to in State::ALL {
                let possible = EVENTS.iter().any(|event| from.after(*event) == Some(to));
                assert_eq!(possible, MOVES.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn nobody_reaches_an_account_without_a_yes() {
        for from in State::ALL {
            for event in EVENTS {
                if from.after(event) == Some(Register) {
                    assert_eq!(event, Event::Approved, "{from:?}");
                }
                if from.after(event) == Some(MailCredentials) {
                    assert_eq!(from, Register);
                }
            }
        }
    }

    #[test]
    fn a_finished_registration_stays_as_it_is() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            assert!(EVENTS.iter().all(|event| state.after(*event).is_none()) && state.owes().is_none(), "{state:?}");
        }
    }

    #[test]
    fn every_open_state_can_reach_an_end() {
        for mut state in State::ALL {
            for _ in 0..State::ALL.len() {
                state = EVENTS.iter().find_map(|event| state.after(*event)).unwrap_or(state);
            }
            assert!(state.is_final());
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_php_program() {
        let known = [(EmailSend, 0), (EmailVerify, 1), (AdminSend, 5), (AdminVerify, 6), (Register, 7), (MailCredentials, 8)];
        for (state, number) in known.into_iter().chain([(Declined, 13), (Done, 100)]) {
            assert_eq!((state.number(), State::from_number(number)), (number, Some(state)));
        }
        assert_eq!(State::from_number(2), None);
    }
}
