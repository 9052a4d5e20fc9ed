//! Skips unavailable peers for the rest of a cron run: a peer that does not answer costs one time-out per run, not one for each
//! row that needs it. Rows that wait for it are not tried, so nothing counts against them. Pure, no I/O.

use crate::domain::back_off::{AddressFault, Blame, Peer};
use crate::domain::registration::{Action, SideAction};
use crate::outside::store::Owed;
use std::collections::HashSet;

/// All closed at first.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    open: HashSet<Peer>,
}

impl Breakers {
    /// Records the cause of a failed attempt for a request with this folded mail address.
    pub fn note(&mut self, blame: &Blame, address: &str) {
        match blame {
            // The domain is noted as in the folded addresses with which it will be compared.
            Blame::Peer(Peer::MailDomain(_)) | Blame::Address(AddressFault::PutOff) => drop(self.open.insert(domain(address))),
            Blame::Peer(peer) => drop(self.open.insert(peer.clone())),
            Blame::Address(AddressFault::Gone) | Blame::Answer(_) | Blame::Ours | Blame::Limit => {}
        }
    }

    /// Whether no action of this kind can succeed in this run.
    pub(crate) fn hold_up(&self, owed: Owed) -> bool {
        needs(owed).iter().any(|peer| self.open.contains(peer))
    }

    /// The same for one row, which may also depend on the mail servers of its address's domain.
    pub(crate) fn hold_up_row(&self, owed: Owed, address: &str) -> bool {
        self.hold_up(owed) || (needs(owed).contains(&Peer::MailServer) && self.open.contains(&domain(address)))
    }
}

fn needs(owed: Owed) -> &'static [Peer] {
    const MAIL: &[Peer] = &[Peer::MailServer];
    const ROOM: &[Peer] = &[Peer::Homeserver, Peer::Room];
    const ACCOUNTS: &[Peer] = &[Peer::Homeserver, Peer::Accounts];
    match owed {
        Owed::Step(state) => match state.owes() {
            Some(Action::SendConfirmMail | Action::SendChooseMail | Action::SendCredentials | Action::SendDecline) => MAIL,
            Some(Action::TellRoom) => ROOM,
            Some(Action::MakeAccount) => ACCOUNTS,
            None => &[],
        },
        Owed::Beside(SideAction::Remind | SideAction::ShowInRoom | SideAction::Ballot | SideAction::PostAnswer) | Owed::Redaction => ROOM,
        Owed::Beside(SideAction::SendQuestion | SideAction::RemindToChoose | SideAction::RemindOfPassword) => MAIL,
        Owed::Beside(SideAction::BindAddress) => ACCOUNTS,
        Owed::ResetMail => MAIL,
    }
}

fn domain(address: &str) -> Peer {
    Peer::MailDomain(address.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::registration::State;

    const MAIL: Owed = Owed::Step(State::MailCredentials);
    const ROOM: Owed = Owed::Step(State::AdminSend);
    const ACCOUNT: Owed = Owed::Step(State::Register);
    const REMINDER: Owed = Owed::Beside(SideAction::Remind);

    fn after(blame: &Blame) -> Breakers {
        let mut breakers = Breakers::default();
        breakers.note(blame, "max@example.org");
        breakers
    }

    #[test]
    fn who_is_away_holds_up_what_needs_it_and_nothing_else() {
        for (peer, held_up) in [
            (Peer::MailServer, [true, false, false, false]),
            (Peer::Homeserver, [false, true, true, true]),
            (Peer::Room, [false, true, false, true]),
            (Peer::Accounts, [false, false, true, false]),
        ] {
            let breakers = after(&Blame::Peer(peer.clone()));
            assert_eq!([MAIL, ROOM, ACCOUNT, REMINDER].map(|owed| breakers.hold_up(owed)), held_up, "{peer:?}");
        }
    }

    #[test]
    fn a_domain_that_takes_no_mail_holds_up_its_own_addresses_only() {
        for blame in [Blame::Address(AddressFault::PutOff), Blame::Peer(Peer::MailDomain("Example.org".into()))] {
            let breakers = after(&blame);
            assert!(breakers.hold_up_row(MAIL, "eve@example.org") && !breakers.hold_up_row(MAIL, "eve@example.com"), "{blame:?}");
            assert!(!breakers.hold_up_row(ROOM, "eve@example.org") && !breakers.hold_up(MAIL), "{blame:?}");
        }
    }

    #[test]
    fn an_answer_about_one_row_holds_up_nobody() {
        for blame in [Blame::Ours, Blame::Answer(Peer::MailServer), Blame::Address(AddressFault::Gone)] {
            assert!(!after(&blame).hold_up_row(MAIL, "max@example.org"), "{blame:?}");
        }
    }
}
