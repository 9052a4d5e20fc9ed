-- Links that were mailed and posted while config.json had another secret key; they work beside the new ones.
CREATE TABLE IF NOT EXISTS former_links (
    -- SHA-256 of the link's token
    token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    -- 0: mailed to the applicant, 1: posted to the room
    reader BIGINT NOT NULL,
    registration_id BIGINT NOT NULL,
    KEY former_links_by_registration (registration_id),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
