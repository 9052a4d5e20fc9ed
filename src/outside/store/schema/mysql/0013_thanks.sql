-- The thank-you page of a request whose address is not confirmed: the mail is sent again, the address corrected.
-- One statement for all columns and keys, so that it has all of its effect or none.
ALTER TABLE registrations
    -- SHA-256 of the token of that page
    ADD COLUMN page_token_hash VARCHAR(64),
    ADD UNIQUE KEY registrations_by_page_token (page_token_hash),
    -- confirmation mails after the first; each has its own Message-ID
    ADD COLUMN mail_round BIGINT NOT NULL DEFAULT 0,
    -- how often the address was corrected
    ADD COLUMN corrections BIGINT NOT NULL DEFAULT 0;
