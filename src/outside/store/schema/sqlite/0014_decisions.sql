-- Who decided what about a request, in which way, and who asked the applicant something.
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE,
    -- the names of Outcome and Way in domain/decision.rs
    outcome TEXT NOT NULL,
    way TEXT NOT NULL,
    -- a Matrix id; NULL: the way does not tell
    decided_by TEXT,
    -- for a question its text
    reason TEXT,
    decided_at INTEGER NOT NULL
);
CREATE INDEX decisions_by_registration ON decisions (registration_id);
