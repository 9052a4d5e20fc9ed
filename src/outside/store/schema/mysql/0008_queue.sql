-- The queue: what is owed on the way and beside it, how long it was tried, and what cron has told of it.
-- One statement for all columns: it is done as a whole or not at all.
ALTER TABLE registrations
    -- since when what this state owes fails; NULL: it did not yet
    ADD COLUMN failing_since BIGINT,
    -- when it was tried last
    ADD COLUMN tried_at BIGINT,
    -- seconds over which it was tried: the time between two tries, a pause counting as a day at most
    ADD COLUMN tried_seconds BIGINT NOT NULL DEFAULT 0,
    -- the same of those tries at which the mail server spoke against this very address
    ADD COLUMN refusals BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN refused_seconds BIGINT NOT NULL DEFAULT 0,
    -- what the last try failed at: a word for the group in which cron tells of it
    ADD COLUMN trouble VARCHAR(64);

-- What is owed beside the path of a request. The columns from due_at on mean what they mean in registrations.
CREATE TABLE IF NOT EXISTS owed_actions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    registration_id BIGINT NOT NULL,
    -- 0: remind the room
    kind BIGINT NOT NULL,
    owed_since BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    tried_at BIGINT,
    tried_seconds BIGINT NOT NULL DEFAULT 0,
    refusals BIGINT NOT NULL DEFAULT 0,
    refused_seconds BIGINT NOT NULL DEFAULT 0,
    undeliverable BIGINT NOT NULL DEFAULT 0,
    trouble VARCHAR(64),
    lease VARCHAR(64),
    lease_until BIGINT,
    last_error MEDIUMTEXT,
    KEY owed_actions_by_kind (kind, due_at),
    KEY owed_actions_by_registration (registration_id),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What cron has told of and will tell of again, or of its end.
CREATE TABLE IF NOT EXISTS troubles (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL,
    told_at BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row: when cron ran, and for how long the clock has been going evenly since it last jumped.
CREATE TABLE IF NOT EXISTS cron_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    ran_at BIGINT NOT NULL,
    usual_gap BIGINT NOT NULL,
    even_seconds BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
