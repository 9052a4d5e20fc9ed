-- How far cron has updated the accounts to the present folding of the directory.
CREATE TABLE directory_folding (
    -- always 1, as there is only one row
    id INTEGER NOT NULL PRIMARY KEY,
    -- the folding of all terms
    folding INTEGER NOT NULL,
    -- the id of the last account with the next folding
    done_up_to INTEGER NOT NULL
);
INSERT INTO directory_folding (id, folding, done_up_to) VALUES (1, 0, 0);
