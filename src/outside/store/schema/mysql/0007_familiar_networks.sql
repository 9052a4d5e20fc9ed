-- Networks from which the right password of an account came; guessing from elsewhere does not slow them down.
CREATE TABLE IF NOT EXISTS familiar_networks (
    login_id BIGINT NOT NULL,
    -- a keyed hash of account and network
    network VARCHAR(64) NOT NULL,
    -- when the right password came from there, to the day (seconds since 1970)
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (login_id, network),
    KEY familiar_networks_by_time (seen_at),
    FOREIGN KEY (login_id) REFERENCES logins (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- No query needs this index any more. MySQL has no DROP INDEX IF EXISTS.
SET @drop_index = IF((SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'logins' AND index_name = 'logins_of_php') > 0, 'ALTER TABLE logins DROP INDEX logins_of_php', 'DO 0');
PREPARE drop_index FROM @drop_index;
EXECUTE drop_index;
DEALLOCATE PREPARE drop_index;
