-- What the bot sent to the room about a request. Reactions to it decide.
CREATE TABLE IF NOT EXISTS room_messages (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    registration_id BIGINT NOT NULL,
    -- the number of RoomMessageKind in store/room_messages.rs
    kind BIGINT NOT NULL,
    room_id VARCHAR(255) NOT NULL,
    event_id VARCHAR(255) NOT NULL,
    sent_at BIGINT NOT NULL,
    -- when its reactions were last read; 0: never
    looked_at BIGINT NOT NULL DEFAULT 0,
    -- 1: the homeserver told us of a reaction that was not read yet
    wanted BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY room_messages_by_event (event_id),
    KEY room_messages_by_registration (registration_id),
    KEY room_messages_by_wish (wanted, looked_at),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
