-- What internal/metrics counts, and an index for everything that asks since when requests wait.
CREATE INDEX registrations_by_age ON registrations (state, state_since);

-- Numbers that no look at the rows tells: the rows are deleted, or too many.
CREATE TABLE tallies (
    -- decided: the decisions that were ever made. kept: the requests that are over, as cron counted them last.
    kind TEXT NOT NULL,
    -- outcome and way of a decision, or the number of a state
    subject TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
-- Every decision that there can be, so that each is counted by one update.
INSERT INTO tallies (kind, subject, count) VALUES
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
UPDATE tallies SET count = (SELECT COUNT(*) FROM decisions WHERE outcome || ' ' || way = subject) WHERE kind = 'decided';
INSERT INTO tallies (kind, subject, count) VALUES ('kept', '13', 0), ('kept', '14', 0), ('kept', '15', 0), ('kept', '100', 0);
