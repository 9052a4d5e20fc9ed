-- What strangers used up of what they may in a day.
CREATE TABLE allowances (
    kind TEXT COLLATE "C" NOT NULL,
    -- a keyed hash of the network or the mail address
    subject TEXT COLLATE "C" NOT NULL,
    -- when nothing of it will be used any more (seconds since 1970): each use moves this by a day's part
    whole_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX allowances_by_time ON allowances (whole_at);
