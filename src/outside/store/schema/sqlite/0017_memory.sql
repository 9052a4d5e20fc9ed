-- Earlier requests of the same person, and what is redacted in the room when a request is forgotten.

-- a keyed hash of the mail address without tag and dots
ALTER TABLE registrations ADD COLUMN person_hash TEXT;
CREATE INDEX registrations_by_person ON registrations (person_hash);

-- What became of requests that were forgotten.
CREATE TABLE remembered (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_hash TEXT NOT NULL,
    state INTEGER NOT NULL,
    -- 1: the homeserver refused the account
    is_refused INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    -- the last decision, as in decisions; NULL: there was none
    outcome TEXT,
    way TEXT,
    decided_by TEXT,
    reason TEXT,
    decided_at INTEGER
);
CREATE INDEX remembered_by_person ON remembered (person_hash);
CREATE INDEX remembered_by_time ON remembered (ended_at);

-- Messages in the room that are to be redacted. The columns from due_at on have the same meaning as in registrations.
CREATE TABLE redactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0,
    owed_since INTEGER NOT NULL,
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
CREATE INDEX redactions_by_time ON redactions (is_done, due_at);
