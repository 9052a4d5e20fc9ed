-- What people wrote to the bot in answer to its messages, by the id of the event; the words themselves stay at the homeserver.
CREATE TABLE IF NOT EXISTS room_words (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id VARCHAR(255) NOT NULL,
    registration_id BIGINT NOT NULL,
    room_id VARCHAR(255) NOT NULL,
    heard_at BIGINT NOT NULL,
    -- when that was done which it asks for; NULL: it is still to be read
    read_at BIGINT,
    UNIQUE KEY room_words_by_event (event_id),
    KEY room_words_by_registration (registration_id),
    KEY room_words_unread (read_at, id),
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
