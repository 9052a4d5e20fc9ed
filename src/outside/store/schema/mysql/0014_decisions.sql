-- Who decided what about a request, in which way, and who asked the applicant something.
CREATE TABLE IF NOT EXISTS decisions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    registration_id BIGINT NOT NULL,
    -- the names of Outcome and Way in domain/decision.rs
    outcome VARCHAR(32) NOT NULL,
    way VARCHAR(32) NOT NULL,
    -- a Matrix id; NULL: the way does not tell
    decided_by VARCHAR(255),
    -- for a question its text
    reason MEDIUMTEXT,
    decided_at BIGINT NOT NULL,
    KEY decisions_by_registration (registration_id),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
