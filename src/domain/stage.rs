//! Where a request stands, in the words of the operator: several states of the machine share one stage.

use super::registration::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The address is not confirmed.
    Unconfirmed,
    /// The room has not decided.
    Undecided,
    /// Approved, and the applicant has not chosen a password.
    Choosing,
    /// Approved, and the account or its mail is not ready.
    Approved,
    /// The account is there.
    Done,
    Declined,
    /// A time was over.
    Expired,
    Withdrawn,
}

impl Stage {
    pub const ALL: [Stage; 8] = [
        Stage::Unconfirmed,
        Stage::Undecided,
        Stage::Choosing,
        Stage::Approved,
        Stage::Done,
        Stage::Declined,
        Stage::Expired,
        Stage::Withdrawn,
    ];

    pub fn of(state: State) -> Stage {
        match state {
            State::EmailSend | State::EmailVerify => Stage::Unconfirmed,
            State::AdminSend | State::AdminVerify => Stage::Undecided,
            State::ChooseSend | State::Choosing => Stage::Choosing,
            State::Register | State::MailCredentials => Stage::Approved,
            State::Done => Stage::Done,
            State::DeclineSend | State::Declined => Stage::Declined,
            State::Expired => Stage::Expired,
            State::Withdrawn => Stage::Withdrawn,
        }
    }

    /// As it is written on the command line, in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Unconfirmed => "unconfirmed",
            Stage::Undecided => "undecided",
            Stage::Choosing => "choosing",
            Stage::Approved => "approved",
            Stage::Done => "done",
            Stage::Declined => "declined",
            Stage::Expired => "expired",
            Stage::Withdrawn => "withdrawn",
        }
    }

    /// What it means, for the help of the command.
    pub fn described(self) -> &'static str {
        match self {
            Stage::Unconfirmed => "The address is not confirmed",
            Stage::Undecided => "The room has not decided",
            Stage::Choosing => "Approved, and the applicant has not chosen a password",
            Stage::Approved => "Approved, and the account or its mail is not ready",
            Stage::Done => "The account is there",
            Stage::Declined => "Declined",
            Stage::Expired => "A time was over",
            Stage::Withdrawn => "Withdrawn by the applicant",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_state_and_a_name_of_its_own() {
        for stage in Stage::ALL {
            assert!(State::ALL.into_iter().any(|state| Stage::of(state) == stage), "{stage:?}");
            assert_eq!(Stage::ALL.into_iter().filter(|other| other.name() == stage.name()).count(), 1, "{stage:?}");
        }
    }
}
