CREATE TABLE registrations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state INTEGER NOT NULL,
    -- tokens, transaction ids and the initial password of this registration are derived from it
    seed TEXT NOT NULL UNIQUE,
    -- SHA-256 of the form token: a form sent twice is one registration
    submission TEXT NOT NULL UNIQUE,
    verify_token_hash TEXT NOT NULL UNIQUE,
    admin_token_hash TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL,
    -- the username while it is reserved, NULL once it is free again
    claimed_username TEXT UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    note TEXT NOT NULL,
    language TEXT NOT NULL,
    -- the applicant's choice: an Argon2id hash (local mode) or sealed (synapse mode); wiped after use
    password TEXT,
    -- 1: the applicant chose the password, 0: an initial one is derived
    password_chosen INTEGER NOT NULL,
    -- why the room declined
    reason TEXT,
    -- why the homeserver refused, after the room had approved
    refusal TEXT,
    requested_at INTEGER NOT NULL,
    state_since INTEGER NOT NULL,
    decided_at INTEGER,
    reminded_at INTEGER,
    -- when the homeserver was first asked to create the account: a later "in use" may mean that only its answer was lost
    account_tried_at INTEGER,
    -- the outbox: no attempt before due_at, or while somebody holds the lease
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    lease TEXT,
    lease_until INTEGER,
    -- the mail server does not accept mail for this address
    undeliverable INTEGER NOT NULL DEFAULT 0,
    last_error TEXT
);
CREATE INDEX registrations_by_state ON registrations (state, due_at);
CREATE INDEX registrations_by_address ON registrations (email_folded);

CREATE TABLE logins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    active INTEGER NOT NULL DEFAULT 1,
    localpart TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    -- when the initial password expires; NULL once it was changed, or if it never expires
    initial_password_until INTEGER
);
-- covers the whole lookup of an address, so that nothing else is read
CREATE INDEX logins_by_address ON logins (email_folded, active, id, localpart);
-- only to find out whether hashes of the PHP program remain
CREATE INDEX logins_of_php ON logins (password_hash) WHERE password_hash >= '$2' AND password_hash < '$3';

-- the terms of the user directory: folded texts, each matched by its beginning. One index serves every search.
CREATE TABLE directory_terms (
    -- 0 localpart, 1 name from its start, 2 name from a later word, 3 mail address
    kind INTEGER NOT NULL,
    term TEXT NOT NULL,
    login_id INTEGER NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, term, login_id)
) WITHOUT ROWID;
CREATE INDEX directory_terms_by_login ON directory_terms (login_id);

-- recent wrong passwords; the account is stored as a hash, because it may not exist
CREATE TABLE guesses (
    account TEXT NOT NULL,
    network TEXT NOT NULL,
    failures INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    PRIMARY KEY (account, network)
) WITHOUT ROWID;
CREATE INDEX guesses_by_time ON guesses (first_at);

CREATE TABLE locks (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until INTEGER NOT NULL
);
