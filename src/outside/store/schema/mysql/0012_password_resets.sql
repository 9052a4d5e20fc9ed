-- Forgotten passwords of local mode. The columns from due_at on have the same meaning as in registrations.
CREATE TABLE IF NOT EXISTS password_resets (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    -- SHA-256 of the form token: a form counts once
    submission VARCHAR(64) NOT NULL UNIQUE,
    -- the username or the mail address that was typed; NULL once the mail was sent, or if nobody gets one
    asked_for TEXT,
    -- the tokens of the links are derived from it
    seed VARCHAR(64) NOT NULL UNIQUE,
    language VARCHAR(16) NOT NULL,
    -- 0: the mail is still to be sent
    is_done BIGINT NOT NULL DEFAULT 0,
    asked_at BIGINT NOT NULL,
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
    KEY password_resets_by_time (is_done, due_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Links that set a new password, once.
CREATE TABLE IF NOT EXISTS reset_links (
    -- SHA-256 of the token
    token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    login_id BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    KEY reset_links_by_login (login_id),
    KEY reset_links_by_time (expires_at),
    FOREIGN KEY (login_id) REFERENCES logins (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
