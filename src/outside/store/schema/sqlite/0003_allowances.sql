-- What strangers used up of what they may in a day.
CREATE TABLE allowances (
    kind TEXT NOT NULL,
    -- a keyed hash of the network or the mail address
    subject TEXT NOT NULL,
    -- when nothing of it will be used any more (seconds since 1970): each use moves this by a day's part
    whole_at INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE INDEX allowances_by_time ON allowances (whole_at);
