-- How far cron has updated the accounts to the present folding of the directory.
CREATE TABLE IF NOT EXISTS directory_folding (
    -- always 1, as there is only one row
    id BIGINT NOT NULL PRIMARY KEY,
    -- the folding of all terms
    folding BIGINT NOT NULL,
    -- the id of the last account with the next folding
    done_up_to BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO directory_folding (id, folding, done_up_to) VALUES (1, 0, 0);
