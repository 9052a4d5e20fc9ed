-- The thank-you page of a request whose address is not confirmed: the mail is sent again, the address corrected.

-- SHA-256 of the token of that page
ALTER TABLE registrations ADD COLUMN page_token_hash TEXT;
CREATE UNIQUE INDEX registrations_by_page_token ON registrations (page_token_hash);
-- confirmation mails after the first; each has its own Message-ID
ALTER TABLE registrations ADD COLUMN mail_round INTEGER NOT NULL DEFAULT 0;
-- how often the address was corrected
ALTER TABLE registrations ADD COLUMN corrections INTEGER NOT NULL DEFAULT 0;
