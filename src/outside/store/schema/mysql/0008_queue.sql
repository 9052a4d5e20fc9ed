-- The queue: required actions and side actions, their attempts, and what cron has reported about them.
-- One statement for all columns, so that it has all of its effect or none.
ALTER TABLE registrations
    -- since when the action of this state fails; NULL: it has not failed
    ADD COLUMN failing_since BIGINT,
    -- when it was last tried
    ADD COLUMN tried_at BIGINT,
    -- the duration of the attempts in seconds; a pause between two counts as a day at most
    ADD COLUMN tried_seconds BIGINT NOT NULL DEFAULT 0,
    -- the number and duration of attempts at which the mail server rejected this address
    ADD COLUMN refusals BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN refused_seconds BIGINT NOT NULL DEFAULT 0,
    -- why the last attempt failed: the group in which cron reports it
    ADD COLUMN trouble VARCHAR(64);

-- Side actions of requests. The columns from due_at on have the same meaning as in registrations.
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

-- What cron has reported, and will report again until it ends.
CREATE TABLE IF NOT EXISTS troubles (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL,
    told_at BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row: when cron ran, and how long the clock has run evenly since its last jump.
CREATE TABLE IF NOT EXISTS cron_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    ran_at BIGINT NOT NULL,
    usual_gap BIGINT NOT NULL,
    even_seconds BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
