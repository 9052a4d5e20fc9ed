-- Each statement can be repeated. Texts compare byte by byte, whatever the server's own rules are.
CREATE TABLE IF NOT EXISTS registrations (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    state BIGINT NOT NULL,
    -- tokens, transaction ids and the initial password of this registration are derived from it
    seed VARCHAR(64) NOT NULL UNIQUE,
    -- SHA-256 of the form token: a form sent twice is one registration
    submission VARCHAR(64) NOT NULL UNIQUE,
    verify_token_hash VARCHAR(64) NOT NULL UNIQUE,
    admin_token_hash VARCHAR(64) NOT NULL UNIQUE,
    username VARCHAR(255) NOT NULL,
    -- the username while it is reserved, NULL once it is free again
    claimed_username VARCHAR(255) UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_folded VARCHAR(320) NOT NULL,
    note MEDIUMTEXT NOT NULL,
    language VARCHAR(16) NOT NULL,
    -- the applicant's choice: an Argon2id hash (local mode) or sealed (synapse mode); wiped after use
    password TEXT,
    -- 1: the applicant chose the password, 0: an initial one is derived
    password_chosen BIGINT NOT NULL,
    -- why the room declined
    reason MEDIUMTEXT,
    -- why the homeserver refused, after the room had approved
    refusal MEDIUMTEXT,
    requested_at BIGINT NOT NULL,
    state_since BIGINT NOT NULL,
    decided_at BIGINT,
    reminded_at BIGINT,
    -- when the homeserver was first asked to create the account: a later "in use" may mean that only its answer was lost
    account_tried_at BIGINT,
    -- the outbox: no attempt before due_at, or while somebody holds the lease
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    lease VARCHAR(64),
    lease_until BIGINT,
    -- the mail server does not accept mail for this address
    undeliverable BIGINT NOT NULL DEFAULT 0,
    last_error MEDIUMTEXT,
    KEY registrations_by_state (state, due_at),
    KEY registrations_by_address (email_folded)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS logins (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    active BIGINT NOT NULL DEFAULT 1,
    localpart VARCHAR(255) NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    email TEXT NOT NULL,
    email_folded VARCHAR(320) NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    -- when the initial password expires; NULL once it was changed, or if it never expires
    initial_password_until BIGINT,
    -- covers the whole lookup of an address, so that nothing else is read
    KEY logins_by_address (email_folded, active, id, localpart),
    -- only to find out whether hashes of the PHP program remain
    KEY logins_of_php (password_hash(4))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- the terms of the user directory: folded texts, each matched by its beginning. One index serves every search.
CREATE TABLE IF NOT EXISTS directory_terms (
    -- 0 localpart, 1 name from its start, 2 name from a later word, 3 mail address
    kind BIGINT NOT NULL,
    term VARCHAR(100) NOT NULL,
    login_id BIGINT NOT NULL,
    PRIMARY KEY (kind, term, login_id),
    KEY directory_terms_by_login (login_id),
    FOREIGN KEY (login_id) REFERENCES logins (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- recent wrong passwords; the account is stored as a hash, because it may not exist
CREATE TABLE IF NOT EXISTS guesses (
    account VARCHAR(64) NOT NULL,
    network VARCHAR(64) NOT NULL,
    failures BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    PRIMARY KEY (account, network),
    KEY guesses_by_time (first_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS locks (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    holder VARCHAR(64) NOT NULL,
    held_until BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
