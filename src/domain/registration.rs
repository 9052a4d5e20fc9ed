//! The life of a registration: its states, the events that change them, and the action that each state requires. Pure, no I/O.
//!
//! The state is the outbox: a change of state is committed first, and a state that requires an action (a mail, a room message,
//! an account) requires it until the action is done. The next program that sees the registration, or cron, completes it.
//!
//! | state             | requires              | left when                                   | a crash leaves                             |
//! |-------------------|-----------------------|---------------------------------------------|--------------------------------------------|
//! | `EmailSend`       | the confirmation mail | mail sent; link used first; given up        | no mail, or two with one Message-ID        |
//! | `EmailVerify`     | -                     | link used; mail wanted again; expired; withdrawn | nothing                                    |
//! | `AdminSend`       | the room message      | message sent; decided first                 | no message; repeated with the same `txnId` |
//! | `AdminVerify`     | -, later reminders    | approved; declined; withdrawn; out of time  | nothing                                    |
//! | `ChooseSend`      | the mail to choose    | mail sent; chosen first; given up           | no mail, or two with one Message-ID        |
//! | `Choosing`        | -, later a reminder   | password chosen; expired; withdrawn         | nothing                                    |
//! | `Register`        | the account           | account made; it or the password refused    | no account, or one found to be ours        |
//! | `MailCredentials` | the credentials mail  | mail sent; given up                         | no mail, or two with one Message-ID        |
//! | `Done`            | -                     | -                                           | nothing                                    |
//! | `DeclineSend`     | the decline mail      | mail sent; given up; taken back             | no mail, or two with one Message-ID        |
//! | `Declined`        | -                     | taken back                                  | nothing                                    |
//! | `Expired`         | -                     | -                                           | nothing                                    |
//! | `Withdrawn`       | -                     | -                                           | nothing                                    |
//!
//! After the approval the applicant either gets an initial password by mail (`Register`), or a link to choose one (`ChooseSend`).
//!
//! The operator can end every open request ([`Event::EndedByOperator`]), so that nothing waits forever. The applicant can
//! withdraw every request that has not led to an account yet ([`Event::Withdrawn`]).
//!
//! Several requests may ask for one username until an address is confirmed: [`State::claims_username`].
//!
//! Side actions ([`SideAction`]) are required in addition to a state's action and do not change the state.
//!
//! The numbers are those of the PHP program, except for `ChooseSend`, `Choosing`, `DeclineSend`, `Expired` and `Withdrawn`, which
//! it did not have.

/// The state of a registration. The database stores its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    EmailSend = 0,
    EmailVerify = 1,
    AdminSend = 5,
    AdminVerify = 6,
    Register = 7,
    MailCredentials = 8,
    ChooseSend = 9,
    Choosing = 10,
    DeclineSend = 12,
    Declined = 13,
    Expired = 14,
    Withdrawn = 15,
    Done = 100,
}

/// An event that changes the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The mail with the confirmation link was sent.
    ConfirmMailSent,
    /// The applicant confirmed the address.
    AddressConfirmed,
    /// The applicant wants the mail with the confirmation link once more.
    MailWantedAgain,
    /// The address was not confirmed in time, or nobody decided in time, or no password was chosen in time.
    TimeRanOut,
    /// The message was posted to the room.
    RoomTold,
    /// The account is made with an initial password, or with one that was chosen when the address was confirmed.
    Approved,
    /// The account is made when the applicant chooses a password by a link.
    ApprovedToChoose,
    Declined,
    /// Declined, and the applicant gets no mail.
    DeclinedSilently,
    /// The no was taken back.
    TakenBack,
    /// The mail with the link to choose a password was sent.
    ChooseMailSent,
    PasswordChosen,
    /// The applicant withdrew the request.
    Withdrawn,
    AccountMade,
    /// The PHP program had made the account and mailed the credentials, but could not record it.
    AccountFound,
    /// The homeserver refuses this account: the name has been taken meanwhile, or is reserved.
    AccountRefused,
    /// The homeserver refuses the password that the applicant chose, and nothing else.
    PasswordRefused,
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
    SendChooseMail,
    MakeAccount,
    SendCredentials,
    SendDecline,
}

impl Action {
    /// In metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::SendConfirmMail => "confirm_mail",
            Action::TellRoom => "room_message",
            Action::SendChooseMail => "choose_mail",
            Action::MakeAccount => "account",
            Action::SendCredentials => "credentials_mail",
            Action::SendDecline => "decline_mail",
        }
    }
}

/// An action that a state requires in addition, and that does not change it. The database stores its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SideAction {
    /// Remind the room of the undecided request.
    Remind = 0,
    /// Mail a question of the moderators to the applicant.
    SendQuestion = 1,
    /// Remind the applicant, by mail, to choose a password before the link ends.
    RemindToChoose = 2,
    /// Remind the applicant, by mail, that the initial password ends soon (local mode).
    RemindOfPassword = 3,
    /// Bind the confirmed address to the account at the homeserver (synapse mode).
    BindAddress = 4,
    /// Edit the message in the room, so that it shows where the request stands.
    ShowInRoom = 5,
    /// React to the message in the room with both thumbs, or take them away after the decision.
    Ballot = 6,
    /// Post the applicant's answer to a question in the thread under the message in the room.
    PostAnswer = 7,
}

impl SideAction {
    pub const ALL: [SideAction; 8] = [
        SideAction::Remind,
        SideAction::SendQuestion,
        SideAction::RemindToChoose,
        SideAction::RemindOfPassword,
        SideAction::BindAddress,
        SideAction::ShowInRoom,
        SideAction::Ballot,
        SideAction::PostAnswer,
    ];

    pub fn number(self) -> i64 {
        self as i64
    }

    /// What it is, for the sysadmin.
    pub fn described(self) -> &'static str {
        match self {
            SideAction::Remind => "a reminder to the room",
            SideAction::SendQuestion => "the mail with a question",
            SideAction::RemindToChoose => "the mail that reminds of the choice of a password",
            SideAction::RemindOfPassword => "the mail that reminds of the end of the initial password",
            SideAction::BindAddress => "the confirmed address at the homeserver",
            SideAction::ShowInRoom => "the edit of the message in the room",
            SideAction::PostAnswer => "the applicant's answer in the room",
            SideAction::Ballot => "the thumbs under the message in the room",
        }
    }

    /// In metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SideAction::Remind => "room_reminder",
            SideAction::SendQuestion => "question_mail",
            SideAction::RemindToChoose => "choose_reminder_mail",
            SideAction::RemindOfPassword => "password_reminder_mail",
            SideAction::BindAddress => "bound_address",
            SideAction::ShowInRoom => "room_edit",
            SideAction::PostAnswer => "room_answer",
            SideAction::Ballot => "room_ballot",
        }
    }

    /// Whether it can wait for everything else.
    pub(crate) fn is_reminder(self) -> bool {
        matches!(self, SideAction::Remind | SideAction::RemindToChoose | SideAction::RemindOfPassword)
    }

    /// Whether it is a mail to the applicant.
    pub(crate) fn is_mail(self) -> bool {
        matches!(self, SideAction::SendQuestion | SideAction::RemindToChoose | SideAction::RemindOfPassword)
    }
}

impl State {
    pub const ALL: [State; 13] = [
        State::EmailSend,
        State::EmailVerify,
        State::AdminSend,
        State::AdminVerify,
        State::ChooseSend,
        State::Choosing,
        State::Register,
        State::MailCredentials,
        State::DeclineSend,
        State::Declined,
        State::Expired,
        State::Withdrawn,
        State::Done,
    ];

    /// What the request waits for, for the sysadmin.
    pub fn awaits(self) -> &'static str {
        match self {
            State::EmailSend => "the mail to confirm the address",
            State::EmailVerify => "the applicant to confirm the address",
            State::AdminSend => "the message to the room",
            State::AdminVerify => "a decision in the room",
            State::ChooseSend => "the mail with the link to choose a password",
            State::Choosing => "the applicant to choose a password",
            State::Register => "the account",
            State::MailCredentials => "the mail with the credentials",
            State::DeclineSend => "the mail that says no",
            State::Declined | State::Expired | State::Withdrawn | State::Done => "nothing",
        }
    }

    /// The state after `event`, or `None` if the event does not fit. No other code decides this.
    pub fn after(self, event: Event) -> Option<State> {
        use State::*;
        match (self, event) {
            (EmailSend, Event::ConfirmMailSent) => Some(EmailVerify),
            // A user of the link has received the mail, even if the mail server's answer was lost.
            (EmailSend | EmailVerify, Event::AddressConfirmed) => Some(AdminSend),
            (EmailVerify, Event::MailWantedAgain) => Some(EmailSend),
            // In EmailSend only when the mail is given up.
            (EmailSend | EmailVerify, Event::TimeRanOut) => Some(Expired),
            (AdminSend, Event::RoomTold) => Some(AdminVerify),
            // The link to decide is only in the room, so the message has arrived even if the answer was lost.
            (AdminSend | AdminVerify, Event::Approved) => Some(Register),
            (AdminSend | AdminVerify, Event::ApprovedToChoose) => Some(ChooseSend),
            (AdminSend | AdminVerify, Event::Declined) => Some(DeclineSend),
            (AdminSend | AdminVerify, Event::DeclinedSilently) => Some(Declined),
            // The room was asked, and reminded.
            (AdminVerify, Event::TimeRanOut) => Some(DeclineSend),
            // While the request is kept. If the mail that says no is on its way, the applicant's own page says that it is undecided.
            (DeclineSend | Declined, Event::TakenBack) => Some(AdminVerify),
            // If the mail is given up, the applicant's own page still leads to the choice.
            (ChooseSend, Event::ChooseMailSent | Event::GivenUp) => Some(Choosing),
            // A user of the link has received the mail, even if the mail server's answer was lost.
            (ChooseSend | Choosing, Event::PasswordChosen) => Some(Register),
            (Choosing, Event::TimeRanOut) => Some(Expired),
            (Register, Event::AccountMade) => Some(MailCredentials),
            (Register, Event::AccountFound) => Some(Done),
            (Register, Event::AccountRefused) => Some(DeclineSend),
            // The mail asks for another password; the link is the same.
            (Register, Event::PasswordRefused) => Some(ChooseSend),
            (MailCredentials, Event::CredentialsSent | Event::GivenUp) => Some(Done),
            (DeclineSend, Event::DeclineSent | Event::GivenUp) => Some(Declined),
            // An unconfirmed address gets no mail; applicants who confirmed theirs get the decline mail.
            (EmailSend | EmailVerify, Event::EndedByOperator) => Some(Expired),
            (AdminSend | AdminVerify | ChooseSend | Choosing | Register, Event::EndedByOperator) => Some(DeclineSend),
            (MailCredentials, Event::EndedByOperator) => Some(Done),
            (DeclineSend, Event::EndedByOperator) => Some(Declined),
            // In Register the homeserver may have made the account already.
            (EmailSend | EmailVerify | AdminSend | AdminVerify | ChooseSend | Choosing, Event::Withdrawn) => Some(Withdrawn),
            _ => None,
        }
    }

    /// The action that this state requires; `None` if it waits for a person or is final.
    pub(crate) fn owes(self) -> Option<Action> {
        match self {
            State::EmailSend => Some(Action::SendConfirmMail),
            State::AdminSend => Some(Action::TellRoom),
            State::ChooseSend => Some(Action::SendChooseMail),
            State::Register => Some(Action::MakeAccount),
            State::MailCredentials => Some(Action::SendCredentials),
            State::DeclineSend => Some(Action::SendDecline),
            State::EmailVerify | State::AdminVerify | State::Choosing => None,
            State::Declined | State::Expired | State::Withdrawn | State::Done => None,
        }
    }

    /// The event when the required mail has failed for long enough; `None` for actions that are tried forever.
    pub(crate) fn end_of_tries(self) -> Option<Event> {
        match self.owes()? {
            Action::SendConfirmMail => Some(Event::TimeRanOut),
            Action::SendChooseMail | Action::SendCredentials | Action::SendDecline => Some(Event::GivenUp),
            Action::TellRoom | Action::MakeAccount => None,
        }
    }

    /// The side actions that begin with this state. The configuration decides later whether each applies, and when it is due.
    pub(crate) fn begins_beside(self) -> &'static [SideAction] {
        match self {
            State::AdminVerify => &[SideAction::Remind, SideAction::Ballot],
            // What follows a decision, or a withdrawal, directly.
            State::ChooseSend | State::Register | State::DeclineSend | State::Declined | State::Withdrawn => &[SideAction::Ballot],
            State::Choosing => &[SideAction::RemindToChoose],
            State::MailCredentials => &[SideAction::BindAddress],
            State::Done => &[SideAction::RemindOfPassword],
            _ => &[],
        }
    }

    /// The side actions that may be required in this state; any other ends with the move to it.
    pub(crate) fn owes_beside(self) -> &'static [SideAction] {
        use SideAction::*;
        match self {
            State::EmailSend | State::EmailVerify => &[],
            State::AdminSend => &[SendQuestion, PostAnswer],
            State::AdminVerify => &[Remind, SendQuestion, ShowInRoom, Ballot, PostAnswer],
            // An answer that was given before the decision reaches the room all the same.
            State::ChooseSend | State::Register | State::DeclineSend | State::Declined => &[ShowInRoom, Ballot, PostAnswer],
            State::Expired | State::Withdrawn => &[ShowInRoom, Ballot],
            State::Choosing => &[RemindToChoose, ShowInRoom, Ballot, PostAnswer],
            State::MailCredentials => &[BindAddress, ShowInRoom, Ballot, PostAnswer],
            State::Done => &[BindAddress, RemindOfPassword, ShowInRoom, Ballot, PostAnswer],
        }
    }

    /// Whether the registration reserves its username: from the confirmation of the address on. When a finished registration is
    /// deleted, the account itself keeps the name.
    pub fn claims_username(self) -> bool {
        !self.is_unconfirmed() && !self.frees_username()
    }

    /// Whether a username that the registration has reserved is free again. Unconfirmed registrations of earlier versions and of
    /// the PHP program have reserved theirs, and keep them.
    pub(crate) fn frees_username(self) -> bool {
        matches!(self, State::DeclineSend | State::Declined | State::Expired | State::Withdrawn)
    }

    /// Whether nobody has proved yet to own the address.
    pub(crate) fn is_unconfirmed(self) -> bool {
        matches!(self, State::EmailSend | State::EmailVerify)
    }

    /// Whether the account is created.
    pub(crate) fn has_account(self) -> bool {
        matches!(self, State::MailCredentials | State::Done)
    }

    /// Whether the registration is over.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Declined | State::Expired | State::Withdrawn)
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

    const EVENTS: [Event; 21] = [
        Event::ConfirmMailSent,
        Event::AddressConfirmed,
        Event::TimeRanOut,
        Event::RoomTold,
        Event::Approved,
        Event::ApprovedToChoose,
        Event::Declined,
        Event::DeclinedSilently,
        Event::ChooseMailSent,
        Event::PasswordChosen,
        Event::AccountMade,
        Event::AccountFound,
        Event::AccountRefused,
        Event::PasswordRefused,
        Event::CredentialsSent,
        Event::DeclineSent,
        Event::GivenUp,
        Event::EndedByOperator,
        Event::Withdrawn,
        Event::MailWantedAgain,
        Event::TakenBack,
    ];

    /// All moves, written a second time as pairs of states.
    const MOVES: [(State, State); 35] = [
        (EmailSend, EmailVerify),
        (EmailSend, AdminSend),
        (EmailSend, Expired),
        (EmailSend, Withdrawn),
        (EmailVerify, EmailSend),
        (EmailVerify, AdminSend),
        (EmailVerify, Expired),
        (EmailVerify, Withdrawn),
        (AdminSend, AdminVerify),
        (AdminSend, ChooseSend),
        (AdminSend, Register),
        (AdminSend, DeclineSend),
        (AdminSend, Declined),
        (AdminSend, Withdrawn),
        (AdminVerify, ChooseSend),
        (AdminVerify, Register),
        (AdminVerify, DeclineSend),
        (AdminVerify, Declined),
        (AdminVerify, Withdrawn),
        (ChooseSend, Choosing),
        (ChooseSend, Register),
        (ChooseSend, DeclineSend),
        (ChooseSend, Withdrawn),
        (Choosing, Register),
        (Choosing, Expired),
        (Choosing, DeclineSend),
        (Choosing, Withdrawn),
        (Register, ChooseSend),
        (Register, MailCredentials),
        (Register, Done),
        (Register, DeclineSend),
        (MailCredentials, Done),
        (DeclineSend, Declined),
        (DeclineSend, AdminVerify),
        (Declined, AdminVerify),
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
                match from.after(event) {
                    Some(ChooseSend) if from == Register => assert_eq!(event, Event::PasswordRefused),
                    Some(ChooseSend) => assert!(event == Event::ApprovedToChoose && matches!(from, AdminSend | AdminVerify), "{from:?}"),
                    Some(Choosing) => assert_eq!(from, ChooseSend),
                    Some(Register) if matches!(from, ChooseSend | Choosing) => assert_eq!(event, Event::PasswordChosen),
                    Some(Register) => assert!(event == Event::Approved && matches!(from, AdminSend | AdminVerify), "{from:?}"),
                    Some(MailCredentials) => assert_eq!(from, Register),
                    _ => {}
                }
            }
        }
    }

    /// The same without looking at single moves.
    #[test]
    fn without_the_two_events_that_say_yes_no_state_with_an_account_is_reached() {
        let mut reached = vec![EmailSend];
        let mut seen = 0;
        while let Some(state) = reached.get(seen).copied() {
            seen += 1;
            for event in EVENTS.into_iter().filter(|event| !matches!(event, Event::Approved | Event::ApprovedToChoose)) {
                reached.extend(state.after(event).filter(|to| !reached.contains(to)));
            }
        }
        assert_eq!(reached.len(), 8, "{reached:?}");
        assert!(!reached.iter().any(|state| matches!(state, ChooseSend | Choosing | Register | MailCredentials | Done)), "{reached:?}");
    }

    #[test]
    fn whoever_asked_can_withdraw_until_the_account_is_being_made() {
        for state in State::ALL {
            let can = !state.is_final() && !matches!(state, Register | MailCredentials | DeclineSend);
            assert_eq!(state.after(Event::Withdrawn), can.then_some(Withdrawn), "{state:?}");
        }
    }

    #[test]
    fn a_name_is_reserved_from_the_confirmation_until_the_request_comes_to_nothing() {
        for state in State::ALL {
            let held = matches!(state, AdminSend | AdminVerify | ChooseSend | Choosing | Register | MailCredentials | Done);
            assert_eq!(state.claims_username(), held, "{state:?}");
            let freed = matches!(state, DeclineSend | Declined | Expired | Withdrawn);
            assert_eq!(state.frees_username(), freed, "{state:?}");
        }
    }

    #[test]
    fn a_side_action_that_begins_with_a_state_may_be_required_there() {
        for state in State::ALL {
            assert!(state.begins_beside().iter().all(|action| state.owes_beside().contains(action)), "{state:?}");
        }
    }

    #[test]
    fn a_finished_registration_stays_as_it_is_unless_a_no_is_taken_back() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            let leads_on = EVENTS.into_iter().filter(|event| state.after(*event).is_some()).collect::<Vec<_>>();
            assert_eq!(leads_on, if state == Declined { vec![Event::TakenBack] } else { vec![] }, "{state:?}");
            assert!(state.owes().is_none(), "{state:?}");
        }
    }

    #[test]
    fn only_a_no_can_be_taken_back_and_the_request_then_waits_for_the_room() {
        for state in State::ALL {
            let can = matches!(state, DeclineSend | Declined);
            assert_eq!(state.after(Event::TakenBack), can.then_some(AdminVerify), "{state:?}");
        }
    }

    #[test]
    fn every_open_state_can_reach_an_end() {
        for mut state in State::ALL {
            for _ in 0..State::ALL.len() {
                state = EVENTS.iter().filter(|event| **event != Event::TakenBack).find_map(|event| state.after(*event)).unwrap_or(state);
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
        for state in [AdminSend, AdminVerify, ChooseSend, Choosing, Register] {
            assert_eq!(state.after(Event::EndedByOperator), Some(DeclineSend));
        }
    }

    #[test]
    fn only_mails_are_ever_given_up_and_each_of_them_can_be() {
        for state in State::ALL {
            let is_mail = !matches!(state.owes(), None | Some(Action::TellRoom | Action::MakeAccount));
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

    #[test]
    fn no_two_states_have_one_number() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
        }
        for (number, action) in SideAction::ALL.into_iter().enumerate() {
            assert_eq!(action.number(), number as i64);
        }
    }
}
