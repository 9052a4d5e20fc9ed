-- Links that were mailed and posted while config.json had another secret key; they work beside the new ones.
CREATE TABLE former_links (
    -- SHA-256 of the link's token
    token_hash TEXT PRIMARY KEY,
    -- 0: mailed to the applicant, 1: posted to the room
    reader INTEGER NOT NULL,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX former_links_by_registration ON former_links (registration_id);
