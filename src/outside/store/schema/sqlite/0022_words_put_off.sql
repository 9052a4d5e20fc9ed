-- how often a message could not be read; those that never failed come first
ALTER TABLE room_words ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
