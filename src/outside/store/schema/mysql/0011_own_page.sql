-- The applicant's own page: names that are claimed late, questions of the moderators, and the choice of a password by a link.
-- One statement for all columns and keys of a table, so that it has all of its effect or none.
ALTER TABLE registrations
    -- when the address was confirmed, and the room was to be asked
    ADD COLUMN confirmed_at BIGINT,
    -- SHA-256 of the token of the link to choose a password
    ADD COLUMN choose_token_hash VARCHAR(64),
    ADD UNIQUE KEY registrations_by_choose_token (choose_token_hash),
    -- covers the usual time to an answer
    ADD KEY registrations_by_decision (decided_at, confirmed_at, requested_at);
-- the question that a side action mails
ALTER TABLE owed_actions ADD COLUMN question_id BIGINT;

-- What the moderators asked an applicant, and the answers.
CREATE TABLE IF NOT EXISTS questions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    registration_id BIGINT NOT NULL,
    question MEDIUMTEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    -- a Matrix id; NULL: the operator
    asked_by VARCHAR(255),
    answer MEDIUMTEXT,
    answered_at BIGINT,
    KEY questions_by_registration (registration_id),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
