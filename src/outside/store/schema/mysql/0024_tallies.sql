-- What internal/metrics counts, and an index for everything that asks since when requests wait.
ALTER TABLE registrations ADD KEY registrations_by_age (state, state_since);

-- Numbers that no look at the rows tells: the rows are deleted, or too many.
CREATE TABLE IF NOT EXISTS tallies (
    -- decided: the decisions that were ever made. kept: the requests that are over, as cron counted them last.
    kind VARCHAR(64) NOT NULL,
    -- outcome and way of a decision, or the number of a state
    subject VARCHAR(64) NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- Every decision that there can be, so that each is counted by one update.
INSERT IGNORE INTO tallies (kind, subject, count) VALUES
    ('decided', 'approved link', 0),
    ('decided', 'approved reaction', 0),
    ('decided', 'approved word', 0),
    ('decided', 'approved operator', 0),
    ('decided', 'declined link', 0),
    ('decided', 'declined reaction', 0),
    ('decided', 'declined word', 0),
    ('decided', 'declined operator', 0),
    ('decided', 'declined_silently link', 0),
    ('decided', 'declined_silently reaction', 0),
    ('decided', 'declined_silently word', 0),
    ('decided', 'declined_silently operator', 0),
    ('decided', 'taken_back link', 0),
    ('decided', 'taken_back reaction', 0),
    ('decided', 'taken_back word', 0),
    ('decided', 'taken_back operator', 0),
    ('decided', 'undecided time', 0),
    ('decided', 'ended operator', 0);
UPDATE tallies SET count = (SELECT COUNT(*) FROM decisions WHERE CONCAT(outcome, ' ', way) = subject) WHERE kind = 'decided';
INSERT IGNORE INTO tallies (kind, subject, count) VALUES ('kept', '13', 0), ('kept', '14', 0), ('kept', '15', 0), ('kept', '100', 0);
