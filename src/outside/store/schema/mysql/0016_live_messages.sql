-- What the message of a request in the room shows.
CREATE TABLE IF NOT EXISTS live_messages (
    registration_id BIGINT NOT NULL PRIMARY KEY,
    -- the number of edits
    revision BIGINT NOT NULL DEFAULT 0,
    -- a hash of the text that it shows; NULL: perhaps another one
    shown_hash VARCHAR(64),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- how often something happened that an action not yet done has to take up
ALTER TABLE owed_actions ADD COLUMN round BIGINT NOT NULL DEFAULT 0;
-- 1: the mail of the state before was given up
ALTER TABLE registrations ADD COLUMN mail_lost BIGINT NOT NULL DEFAULT 0;
