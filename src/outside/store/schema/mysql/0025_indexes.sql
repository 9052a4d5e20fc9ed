-- So that cron and the command look at no more requests than they ask about, however many there are.
ALTER TABLE registrations ADD KEY registrations_by_username (username), ADD KEY registrations_by_request (requested_at);
ALTER TABLE room_messages ADD KEY room_messages_by_room (room_id, registration_id);
-- When cron counted last what is over.
INSERT IGNORE INTO tallies (kind, subject, count) VALUES ('kept', 'counted at', 0);
