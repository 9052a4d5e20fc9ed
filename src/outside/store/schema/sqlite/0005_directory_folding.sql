-- How far the accounts are brought to the folding by which the directory compares. cron goes on from there.
CREATE TABLE directory_folding (
    -- always 1: there is one row
    id INTEGER NOT NULL PRIMARY KEY,
    -- the folding that all terms have
    folding INTEGER NOT NULL,
    -- the id of the last account that has the next one
    done_up_to INTEGER NOT NULL
);
INSERT INTO directory_folding (id, folding, done_up_to) VALUES (1, 0, 0);
