-- The form as the operator closed it; no row: it is not closed by hand.
CREATE TABLE IF NOT EXISTS form_closed (
    -- always 1
    id BIGINT NOT NULL PRIMARY KEY,
    closed_at BIGINT NOT NULL,
    -- NULL: until it is opened by hand
    opens_at BIGINT,
    -- the user of the shell
    closed_by VARCHAR(255) NOT NULL,
    -- what visitors are told: a JSON object of texts by language tag, with '' for all other languages
    texts MEDIUMTEXT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
