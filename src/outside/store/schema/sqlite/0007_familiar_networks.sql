-- Networks from which the right password of an account came; guessing from elsewhere does not slow them down.
CREATE TABLE familiar_networks (
    login_id INTEGER NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    -- a keyed hash of account and network
    network TEXT NOT NULL,
    -- when the right password came from there, to the day (seconds since 1970)
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (login_id, network)
) WITHOUT ROWID;
CREATE INDEX familiar_networks_by_time ON familiar_networks (seen_at);
-- No query needs this index any more.
DROP INDEX logins_of_php;
