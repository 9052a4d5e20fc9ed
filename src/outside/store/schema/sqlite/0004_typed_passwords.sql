-- The form used to ask for a password, and anybody could name somebody else's address there. Such a password is deleted unless
-- an account may have been made with it: applicants who have yet to confirm their address are asked again, the others get an
-- initial password by mail. In local mode, where passwords are stored as hashes, no account is there yet in these states.
UPDATE registrations SET password = NULL, password_chosen = 0
WHERE password_chosen = 1 AND (state IN (0, 1, 5, 6) OR (state = 7 AND (account_tried_at IS NULL OR password LIKE '$%')));
