-- Until now the password was asked on the form, where anybody could name somebody else's address. What was typed there is
-- forgotten where no account may have been made with it yet: who confirms the address is asked anew, and who did that already
-- gets an initial password by mail.
UPDATE registrations SET password = NULL, password_chosen = 0
WHERE password_chosen = 1 AND (state IN (0, 1, 5, 6) OR (state = 7 AND account_tried_at IS NULL));
