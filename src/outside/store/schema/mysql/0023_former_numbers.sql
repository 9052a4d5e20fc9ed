-- Numbers that requests had before their address was corrected, which makes another row of them.
CREATE TABLE IF NOT EXISTS former_numbers (
    number BIGINT NOT NULL PRIMARY KEY,
    registration_id BIGINT NOT NULL,
    INDEX former_numbers_by_registration (registration_id),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
