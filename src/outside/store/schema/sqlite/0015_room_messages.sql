-- What the bot sent to the room about a request. Reactions to it decide.
CREATE TABLE room_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registration_id INTEGER NOT NULL REFERENCES registrations (id) ON DELETE CASCADE,
    -- the number of RoomMessageKind in store/room_messages.rs
    kind INTEGER NOT NULL,
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    -- when its reactions were last read; 0: never
    looked_at INTEGER NOT NULL DEFAULT 0,
    -- 1: the homeserver told us of a reaction that was not read yet
    wanted INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX room_messages_by_event ON room_messages (event_id);
CREATE INDEX room_messages_by_registration ON room_messages (registration_id);
CREATE INDEX room_messages_by_wish ON room_messages (wanted, looked_at);
