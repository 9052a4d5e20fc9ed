-- How far the accounts are brought to the folding by which the directory compares. cron goes on from there.
CREATE TABLE IF NOT EXISTS directory_folding (
    -- always 1: there is one row
    id BIGINT NOT NULL PRIMARY KEY,
    -- the folding that all terms have
    folding BIGINT NOT NULL,
    -- the id of the last account that has the next one
    done_up_to BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO directory_folding (id, folding, done_up_to) VALUES (1, 0, 0);
