-- Links that have set a new password. They are good for nothing; a form that comes again is recognised by them.
CREATE TABLE IF NOT EXISTS used_reset_links (
    -- SHA-256 of the token
    token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    login_id BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    KEY used_reset_links_by_login (login_id),
    FOREIGN KEY (login_id) REFERENCES logins (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
