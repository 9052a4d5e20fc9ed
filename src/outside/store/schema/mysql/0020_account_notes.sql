-- What is known about an account that matrix-authentication-service was asked for (MAS): a repeated try finds it again by this.
CREATE TABLE IF NOT EXISTS account_notes (
    registration_id BIGINT NOT NULL PRIMARY KEY,
    -- when MAS said, before the first and before the last try, that it has no such account: seconds since 1970 by MAS's own clock
    first_try_at BIGINT,
    last_try_at BIGINT,
    -- 1: the homeserver showed strangers no such account then; 2: it told an administrator that there is none
    was_free BIGINT NOT NULL DEFAULT 0,
    -- 1: MAS said after a try that it told the homeserver to make the account, and got no answer
    may_be_half BIGINT NOT NULL DEFAULT 0,
    -- the account in MAS, once it is known to be ours
    account_id VARCHAR(64),
    -- a hash of the seed with which its first password was set
    password_set_with VARCHAR(64),
    -- 1: the address belongs to another account in MAS
    address_is_anothers BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
