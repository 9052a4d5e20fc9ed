-- So that cron and the command look at no more requests than they ask about, however many there are.
CREATE INDEX registrations_by_username ON registrations (username);
CREATE INDEX registrations_by_request ON registrations (requested_at);
CREATE INDEX room_messages_by_room ON room_messages (room_id, registration_id);
-- When cron counted last what is over.
INSERT INTO tallies (kind, subject, count) VALUES ('kept', 'counted at', 0);
