-- Links that the PHP program mailed and posted; they work beside our own. A registration with such links came from there.
CREATE TABLE php_links (
    -- SHA-256 of the link's token
    token_hash TEXT PRIMARY KEY,
    -- 0: mailed to the applicant, 1: posted to the room
    reader INTEGER NOT NULL,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX php_links_by_registration ON php_links (registration_id);
