-- The queue: required actions and side actions, their attempts, and what cron has reported about them.

-- since when the action of this state fails; NULL: it has not failed
ALTER TABLE registrations ADD COLUMN failing_since INTEGER;
-- when it was last tried
ALTER TABLE registrations ADD COLUMN tried_at INTEGER;
-- the duration of the attempts in seconds; a pause between two counts as a day at most
ALTER TABLE registrations ADD COLUMN tried_seconds INTEGER NOT NULL DEFAULT 0;
-- the number and duration of attempts at which the mail server rejected this address
ALTER TABLE registrations ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registrations ADD COLUMN refused_seconds INTEGER NOT NULL DEFAULT 0;
-- why the last attempt failed: the group in which cron reports it
ALTER TABLE registrations ADD COLUMN trouble TEXT;

-- Side actions of requests. The columns from due_at on have the same meaning as in registrations.
CREATE TABLE owed_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE,
    -- 0: remind the room
    kind INTEGER NOT NULL,
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
CREATE INDEX owed_actions_by_kind ON owed_actions (kind, due_at);
CREATE INDEX owed_actions_by_registration ON owed_actions (registration_id);

-- What cron has reported, and will report again until it ends.
CREATE TABLE troubles (
    name TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    told_at INTEGER NOT NULL
) WITHOUT ROWID;

-- One row: when cron ran, and how long the clock has run evenly since its last jump.
CREATE TABLE cron_clock (
    id INTEGER PRIMARY KEY,
    ran_at INTEGER NOT NULL,
    usual_gap INTEGER NOT NULL,
    even_seconds INTEGER NOT NULL
);
