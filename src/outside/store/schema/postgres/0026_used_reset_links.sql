-- Links that have set a new password. They are good for nothing; a form that comes again is recognised by them.
CREATE TABLE used_reset_links (
    -- SHA-256 of the token
    token_hash TEXT COLLATE "C" PRIMARY KEY,
    login_id BIGINT NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    used_at BIGINT NOT NULL
);
CREATE INDEX used_reset_links_by_login ON used_reset_links (login_id);
