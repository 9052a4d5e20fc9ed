-- What people wrote to the bot in answer to its messages, by the id of the event; the words themselves stay at the homeserver.
CREATE TABLE room_words (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE,
    room_id TEXT NOT NULL,
    heard_at INTEGER NOT NULL,
    -- when that was done which it asks for; NULL: it is still to be read
    read_at INTEGER
);
CREATE INDEX room_words_by_registration ON room_words (registration_id);
CREATE INDEX room_words_unread ON room_words (read_at, id);
