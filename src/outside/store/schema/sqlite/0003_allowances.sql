-- How much of their daily allowance strangers have used.
CREATE TABLE allowances (
    kind TEXT NOT NULL,
    -- a keyed hash of the network or the mail address
    subject TEXT NOT NULL,
    -- when the whole allowance is available again (seconds since 1970): each use moves this by its share of a day
    whole_at INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE INDEX allowances_by_time ON allowances (whole_at);
