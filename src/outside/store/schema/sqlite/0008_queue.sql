-- The queue: what is owed on the way and beside it, how long it was tried, and what cron has told of it.

-- since when what this state owes fails; NULL: it did not yet
ALTER TABLE registrations ADD COLUMN failing_since INTEGER;
-- when it was tried last
ALTER TABLE registrations ADD COLUMN tried_at INTEGER;
-- seconds over which it was tried: the time between two tries, a pause counting as a day at most
ALTER TABLE registrations ADD COLUMN tried_seconds INTEGER NOT NULL DEFAULT 0;
-- the same of those tries at which the mail server spoke against this very address
ALTER TABLE registrations ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registrations ADD COLUMN refused_seconds INTEGER NOT NULL DEFAULT 0;
-- what the last try failed at: a word for the group in which cron tells of it
ALTER TABLE registrations ADD COLUMN trouble TEXT;

-- What is owed beside the path of a request. The columns from due_at on mean what they mean in registrations.
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

-- What cron has told of and will tell of again, or of its end.
CREATE TABLE troubles (
    name TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    told_at INTEGER NOT NULL
) WITHOUT ROWID;

-- One row: when cron ran, and for how long the clock has been going evenly since it last jumped.
CREATE TABLE cron_clock (
    id INTEGER PRIMARY KEY,
    ran_at INTEGER NOT NULL,
    usual_gap INTEGER NOT NULL,
    even_seconds INTEGER NOT NULL
);
