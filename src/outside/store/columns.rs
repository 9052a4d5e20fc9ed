//! The columns for reading rows. Any other name does not compile.

/// Columns with their names in the database.
macro_rules! columns {
    ($($column:ident = $name:literal),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Column {
            $($column),*
        }

        impl Column {
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Column::$column => $name),*
                }
            }
        }
    };
}

columns! {
    AccountId = "account_id",
    AccountTriedAt = "account_tried_at",
    Active = "active",
    AddressIsAnothers = "address_is_anothers",
    AdminToken = "admin_token",
    AdminTokenHash = "admin_token_hash",
    Answer = "answer",
    AnsweredAt = "answered_at",
    ApprovedMode = "approved_mode",
    AskedAt = "asked_at",
    AskedBy = "asked_by",
    AskedFor = "asked_for",
    Attempts = "attempts",
    ChangedAt = "changed_at",
    ChooseTokenHash = "choose_token_hash",
    ClosedAt = "closed_at",
    ClosedBy = "closed_by",
    ConfirmedAt = "confirmed_at",
    Corrections = "corrections",
    CreateDate = "create_date",
    CreatedAt = "created_at",
    DecidedAt = "decided_at",
    DecidedBy = "decided_by",
    DoneUpTo = "done_up_to",
    DueAt = "due_at",
    Email = "email",
    EmailFolded = "email_folded",
    EndedAt = "ended_at",
    EvenSeconds = "even_seconds",
    EventId = "event_id",
    FailingSince = "failing_since",
    FilledHiddenField = "filled_hidden_field",
    FirstName = "first_name",
    FirstTryAt = "first_try_at",
    Folding = "folding",
    HasNoId = "has_no_id",
    Id = "id",
    InitialPasswordUntil = "initial_password_until",
    IsRefused = "is_refused",
    Kind = "kind",
    Language = "language",
    LastError = "last_error",
    LastModified = "last_modified",
    LastName = "last_name",
    LastTryAt = "last_try_at",
    Lease = "lease",
    Localpart = "localpart",
    MailLost = "mail_lost",
    MailRound = "mail_round",
    MayBeHalf = "may_be_half",
    Name = "name",
    Note = "note",
    OpensAt = "opens_at",
    Outcome = "outcome",
    PageTokenHash = "page_token_hash",
    Password = "password",
    PasswordChosen = "password_chosen",
    PasswordHash = "password_hash",
    PasswordSetWith = "password_set_with",
    PersonHash = "person_hash",
    Question = "question",
    RanAt = "ran_at",
    Reason = "reason",
    Refusal = "refusal",
    Refusals = "refusals",
    RefusedSeconds = "refused_seconds",
    RegistrationId = "registration_id",
    RequestDate = "request_date",
    RequestedAt = "requested_at",
    Revision = "revision",
    RoomId = "room_id",
    Seed = "seed",
    ShownHash = "shown_hash",
    Since = "since",
    State = "state",
    StateSince = "state_since",
    Submission = "submission",
    Texts = "texts",
    ToldAt = "told_at",
    TriedAt = "tried_at",
    TriedSeconds = "tried_seconds",
    Trouble = "trouble",
    TrustedAt = "trusted_at",
    Undeliverable = "undeliverable",
    Username = "username",
    UsualGap = "usual_gap",
    VerifyToken = "verify_token",
    VerifyTokenHash = "verify_token_hash",
    WasFree = "was_free",
    Way = "way",
}

/// The columns of one query, in the order of its `SELECT`.
#[derive(Debug)]
pub(super) struct Selection {
    /// For messages.
    pub table: &'static str,
    pub columns: &'static [Column],
}

impl Selection {
    /// For a `SELECT`: `id, state, seed`.
    pub(super) fn list(&self) -> String {
        self.columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
    }
}
