-- Forgotten passwords of local mode. The columns from due_at on have the same meaning as in registrations.
CREATE TABLE password_resets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the form token: a form counts once
    submission TEXT NOT NULL UNIQUE,
    -- the username or the mail address that was typed; NULL once the mail was sent, or if nobody gets one
    asked_for TEXT,
    -- the tokens of the links are derived from it
    seed TEXT NOT NULL UNIQUE,
    language TEXT NOT NULL,
    -- 0: the mail is still to be sent
    is_done INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    tried_at INTEGER,
    tried_seconds INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    refused_seconds INTEGER NOT NULL DEFAULT 0,
    undeliverable INTEGER NOT NULL DEFAULT 0,
    trouble TEXT,
    lease TEXT,
    lease_until INTEGER,
    last_error TEXT
);
CREATE INDEX password_resets_by_time ON password_resets (is_done, due_at);

-- Links that set a new password, once.
CREATE TABLE reset_links (
    -- SHA-256 of the token
    token_hash TEXT PRIMARY KEY,
    login_id INTEGER NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reset_links_by_login ON reset_links (login_id);
CREATE INDEX reset_links_by_time ON reset_links (expires_at);
