-- How much of their daily allowance strangers have used.
CREATE TABLE IF NOT EXISTS allowances (
    kind VARCHAR(64) NOT NULL,
    -- a keyed hash of the network or the mail address
    subject VARCHAR(64) NOT NULL,
    -- when the whole allowance is available again (seconds since 1970): each use moves this by its share of a day
    whole_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject),
    KEY allowances_by_time (whole_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
