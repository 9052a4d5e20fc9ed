-- Numbers that requests had before their address was corrected, which makes another row of them.
CREATE TABLE former_numbers (
    number INTEGER PRIMARY KEY,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE
);
CREATE INDEX former_numbers_by_registration ON former_numbers (registration_id);
