-- The form as the operator closed it; no row: it is not closed by hand.
CREATE TABLE form_closed (
    -- always 1
    id INTEGER PRIMARY KEY,
    closed_at INTEGER NOT NULL,
    -- NULL: until it is opened by hand
    opens_at INTEGER,
    -- the user of the shell
    closed_by TEXT NOT NULL,
    -- what visitors are told: a JSON object of texts by language tag, with '' for all other languages
    texts TEXT NOT NULL
);
