//! The life of a registration: its states, the events that change them, and the action that each state requires. Pure, no I/O.
//!
//! The state is the outbox: a change of state is committed first, and a state that requires an action (a mail, a room message,
//! an account) requires it until the action is done. The next program that sees the registration, or cron, completes it.
//!
//! | state             | requires              | left when                                   | a crash leaves                             |
//! |-------------------|-----------------------|---------------------------------------------|--------------------------------------------|
//! | `EmailSend`       | the confirmation mail | mail sent; link used first; given up        | no mail, or two with one Message-ID        |
//! | `EmailVerify`     | -                     | link used; expired                          | nothing                                    |
//! | `AdminSend`       | the room message      | message sent; decided first                 | no message; repeated with the same `txnId` |
//! | `AdminVerify`     | -, later a reminder   | approved; declined                          | nothing                                    |
//! | `Register`        | the account           | account made; homeserver refused it         | no account, or one found to be ours        |
//! | `MailCredentials` | the credentials mail  | mail sent; given up                         | no mail, or two with one Message-ID        |
//! | `Done`            | -                     | -                                           | nothing                                    |
//! | `DeclineSend`     | the decline mail      | mail sent; given up                         | no mail, or two with one Message-ID        |
//! | `Declined`        | -                     | -                                           | nothing                                    |
//! | `Expired`         | -                     | -                                           | nothing                                    |
//!
//! The operator can end every open request ([`Event::EndedByOperator`]), so that nothing waits forever.
//!
//! Side actions ([`SideAction`]) are required in addition to a state's action and do not change the state.
//!
//! The numbers are those of the PHP program, except for `DeclineSend` and `Expired`: it deleted such rows.

/// The state of a registration. The database stores its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// An event that changes the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The mail with the confirmation link was sent.
    ConfirmMailSent,
    /// The applicant confirmed the address.
    AddressConfirmed,
    /// The address was not confirmed in time.
    TimeRanOut,
    /// The message was posted to the room.
    RoomTold,
    Approved,
    Declined,
    AccountMade,
    /// The PHP program had made the account and mailed the credentials, but could not record it.
    AccountFound,
    /// The homeserver refuses this account: the name has been taken meanwhile, or is reserved.
    AccountRefused,
    CredentialsSent,
    DeclineSent,
    /// The last mail failed for long enough and is given up.
    GivenUp,
    /// The operator ended the request, whatever it was waiting for.
    EndedByOperator,
}

/// An action that a state requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    SendConfirmMail,
    TellRoom,
    MakeAccount,
    SendCredentials,
    SendDecline,
}

/// An action that a state requires in addition, and that does not change it. The database stores its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SideAction {
    /// Remind the room of the undecided request.
    Remind = 0,
}

impl SideAction {
    pub const ALL: [SideAction; 1] = [SideAction::Remind];

    pub fn number(self) -> i64 {
        self as i64
    }
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

    /// The state after `event`, or `None` if the event does not fit. No other code decides this.
    pub fn after(self, event: Event) -> Option<State> {
        use State::*;
        match (self, event) {
            (EmailSend, Event::ConfirmMailSent) => Some(EmailVerify),
            // A user of the link has received the mail, even if the mail server's answer was lost.
            (EmailSend | EmailVerify, Event::AddressConfirmed) => Some(AdminSend),
            // In EmailSend only when the mail is given up.
            (EmailSend | EmailVerify, Event::TimeRanOut) => Some(Expired),
            (AdminSend, Event::RoomTold) => Some(AdminVerify),
            // The link to decide is only in the room, so the message has arrived even if the answer was lost.
            (AdminSend | AdminVerify, Event::Approved) => Some(Register),
            (AdminSend | AdminVerify, Event::Declined) => Some(DeclineSend),
            (Register, Event::AccountMade) => Some(MailCredentials),
            (Register, Event::AccountFound) => Some(Done),
            (Register, Event::AccountRefused) => Some(DeclineSend),
            (MailCredentials, Event::CredentialsSent | Event::GivenUp) => Some(Done),
            (DeclineSend, Event::DeclineSent | Event::GivenUp) => Some(Declined),
            // An unconfirmed address gets no mail; applicants who confirmed theirs get the decline mail.
            (EmailSend | EmailVerify, Event::EndedByOperator) => Some(Expired),
            (AdminSend | AdminVerify | Register, Event::EndedByOperator) => Some(DeclineSend),
            (MailCredentials, Event::EndedByOperator) => Some(Done),
            (DeclineSend, Event::EndedByOperator) => Some(Declined),
            _ => None,
        }
    }

    /// The action that this state requires; `None` if it waits for a person or is final.
    pub(crate) fn owes(self) -> Option<Action> {
        match self {
            State::EmailSend => Some(Action::SendConfirmMail),
            State::AdminSend => Some(Action::TellRoom),
            State::Register => Some(Action::MakeAccount),
            State::MailCredentials => Some(Action::SendCredentials),
            State::DeclineSend => Some(Action::SendDecline),
            State::EmailVerify | State::AdminVerify | State::Declined | State::Expired | State::Done => None,
        }
    }

    /// The event when the required mail has failed for long enough; `None` for actions that are tried forever.
    pub(crate) fn end_of_tries(self) -> Option<Event> {
        match self.owes()? {
            Action::SendConfirmMail => Some(Event::TimeRanOut),
            Action::SendCredentials | Action::SendDecline => Some(Event::GivenUp),
            Action::TellRoom | Action::MakeAccount => None,
        }
    }

    /// The side actions that this state requires for as long as it lasts.
    pub(crate) fn owes_beside(self) -> &'static [SideAction] {
        match self {
            State::AdminVerify => &[SideAction::Remind],
            _ => &[],
        }
    }

    /// Whether the registration reserves its username. Declining and expiry free the name; when a finished registration is
    /// deleted, the account itself keeps it.
    pub fn claims_username(self) -> bool {
        !matches!(self, State::DeclineSend | State::Declined | State::Expired)
    }

    /// Whether the registration is over.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Declined | State::Expired)
    }

    pub fn number(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_number(number: i64) -> Option<State> {
        State::ALL.into_iter().find(|state| state.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::*;

    const EVENTS: [Event; 13] = [
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
        Event::EndedByOperator,
    ];

    /// All moves, written a second time as pairs of states.
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
    fn the_operator_can_end_whatever_is_not_over_and_nothing_else() {
        for state in State::ALL {
            assert_eq!(state.after(Event::EndedByOperator).is_none(), state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn whoever_confirmed_an_address_hears_of_the_operators_end() {
        for state in [AdminSend, AdminVerify, Register] {
            assert_eq!(state.after(Event::EndedByOperator), Some(DeclineSend));
        }
    }

    #[test]
    fn only_mails_are_ever_given_up_and_each_of_them_can_be() {
        for state in State::ALL {
            let is_mail = matches!(state.owes(), Some(Action::SendConfirmMail | Action::SendCredentials | Action::SendDecline));
            assert_eq!(state.end_of_tries().is_some(), is_mail, "{state:?}");
            assert!(state.end_of_tries().is_none_or(|event| state.after(event).is_some()), "{state:?}");
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
