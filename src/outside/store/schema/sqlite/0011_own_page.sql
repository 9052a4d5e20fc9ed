-- The applicant's own page: names that are claimed late, questions of the moderators, and the choice of a password by a link.

-- when the address was confirmed, and the room was to be asked
ALTER TABLE registrations ADD COLUMN confirmed_at INTEGER;
-- SHA-256 of the token of the link to choose a password
ALTER TABLE registrations ADD COLUMN choose_token_hash TEXT;
CREATE UNIQUE INDEX registrations_by_choose_token ON registrations (choose_token_hash);
-- covers the usual time to an answer
CREATE INDEX registrations_by_decision ON registrations (decided_at, confirmed_at, requested_at);
-- the question that a side action mails
ALTER TABLE owed_actions ADD COLUMN question_id INTEGER;

-- What the moderators asked an applicant, and the answers.
CREATE TABLE questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE,
    question TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    -- a Matrix id; NULL: the operator
    asked_by TEXT,
    answer TEXT,
    answered_at INTEGER
);
CREATE INDEX questions_by_registration ON questions (registration_id);
