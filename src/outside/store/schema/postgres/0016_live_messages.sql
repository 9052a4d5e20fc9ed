-- What the message of a request in the room shows.
CREATE TABLE live_messages (
    registration_id BIGINT PRIMARY KEY REFERENCES registrations (id) ON DELETE CASCADE,
    -- the number of edits
    revision BIGINT NOT NULL DEFAULT 0,
    -- a hash of the text that it shows; NULL: perhaps another one
    shown_hash TEXT COLLATE "C"
);
-- how often something happened that an action not yet done has to take up
ALTER TABLE owed_actions ADD COLUMN round BIGINT NOT NULL DEFAULT 0;
-- 1: the mail of the state before was given up
ALTER TABLE registrations ADD COLUMN mail_lost BIGINT NOT NULL DEFAULT 0;
