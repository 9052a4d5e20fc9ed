-- Earlier requests of the same person, and what is redacted in the room when a request is forgotten.

-- a keyed hash of the mail address without tag and dots
ALTER TABLE registrations ADD COLUMN person_hash VARCHAR(64), ADD KEY registrations_by_person (person_hash);

-- What became of requests that were forgotten.
CREATE TABLE IF NOT EXISTS remembered (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    person_hash VARCHAR(64) NOT NULL,
    state BIGINT NOT NULL,
    -- 1: the homeserver refused the account
    is_refused BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    -- the last decision, as in decisions; NULL: there was none
    outcome VARCHAR(32),
    way VARCHAR(32),
    decided_by VARCHAR(255),
    reason MEDIUMTEXT,
    decided_at BIGINT,
    KEY remembered_by_person (person_hash),
    KEY remembered_by_time (ended_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Messages in the room that are to be redacted. The columns from due_at on have the same meaning as in registrations.
CREATE TABLE IF NOT EXISTS redactions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    room_id VARCHAR(255) NOT NULL,
    event_id VARCHAR(255) NOT NULL,
    is_done BIGINT NOT NULL DEFAULT 0,
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
    KEY redactions_by_time (is_done, due_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
