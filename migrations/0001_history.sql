-- Times are microseconds since 1970, UTC; durations are microseconds. NULL: not known, or not there.

-- "mrbn": the file is ours.
PRAGMA application_id = 1836212846;

-- Words that are stable: outcomes, verdicts, codes, and how a copy was seen. The verdicts have these numbers for good.
CREATE TABLE words (
    word INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO words (word, text) VALUES (1, 'pass'), (2, 'warn'), (3, 'unknown'), (4, 'fail');

CREATE TABLE tests (
    test INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    name TEXT NOT NULL,          -- the payload with its variant, or ping
    payload TEXT,                -- NULL: a ping
    variant TEXT NOT NULL,
    UNIQUE (route, name)
) STRICT;

-- One row a probe, in the order of their starts. Without an outcome it is in flight.
CREATE TABLE probes (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    test INTEGER NOT NULL REFERENCES tests,
    due INTEGER NOT NULL,
    started INTEGER,             -- after due, as are the next two
    accepted INTEGER,
    seen INTEGER,
    outcome INTEGER REFERENCES words,
    verdict INTEGER REFERENCES words,
    code INTEGER REFERENCES words,
    seen_by INTEGER REFERENCES words,
    resolution INTEGER,
    round_trip INTEGER,
    deferral INTEGER,
    deadline INTEGER,
    duplicates INTEGER,
    flags INTEGER,               -- 1 late, 2 by the wall clock, 4 sent though it could not be stored
    revised INTEGER,
    control BLOB,
    dns INTEGER,
    connect INTEGER,
    tls INTEGER,
    banner INTEGER,
    ehlo INTEGER,
    starttls INTEGER,
    auth INTEGER,
    mail INTEGER,
    rcpt INTEGER,
    data INTEGER,
    transit INTEGER
) STRICT;
CREATE INDEX probes_of_test ON probes (test, due, outcome, verdict, code, round_trip);
CREATE INDEX probes_in_flight ON probes (seq) WHERE outcome IS NULL;
CREATE INDEX probes_amiss ON probes (verdict) WHERE verdict <> 1;

-- What a compact row leaves out, compressed. Of passes it is kept for some days, of all else as long as the row.
CREATE TABLE details (
    seq INTEGER PRIMARY KEY,
    kept BLOB,                   -- what another process needs to take the probe up, or to revise it
    document BLOB,               -- the result document's object
    passed INTEGER               -- 1: the document is of a pass
) STRICT;
CREATE INDEX details_kept ON details (seq) WHERE kept IS NOT NULL;
CREATE INDEX details_passed ON details (seq) WHERE passed IS NOT NULL;

-- A whole day of one test, reckoned from its probes; where pass is -1, it is to be reckoned anew. All days before the
-- fact `days_until` are here.
CREATE TABLE days (
    test INTEGER NOT NULL REFERENCES tests,
    day INTEGER NOT NULL,        -- since 1970
    pass INTEGER NOT NULL,
    warn INTEGER NOT NULL,
    fail INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    outcomes TEXT NOT NULL,      -- how often each, as JSON
    codes TEXT NOT NULL,         -- how often each, as JSON
    round_trips BLOB NOT NULL,   -- an HDR histogram of microseconds
    PRIMARY KEY (test, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX days_stale ON days (test, day) WHERE pass < 0;

-- How each test stands, as the alerting left it.
CREATE TABLE standings (
    test INTEGER PRIMARY KEY REFERENCES tests,
    standing TEXT NOT NULL
) STRICT;

CREATE TABLE incidents (
    id BLOB PRIMARY KEY,
    test INTEGER NOT NULL REFERENCES tests,
    began INTEGER NOT NULL,
    ended INTEGER,
    incident TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_by_time ON incidents (began);
CREATE INDEX incidents_open ON incidents (began) WHERE ended IS NULL;

-- Notices that are still to go out.
CREATE TABLE outbox (
    made INTEGER NOT NULL,
    notice BLOB NOT NULL,
    alert TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    PRIMARY KEY (notice, alert)
) STRICT;

-- When each line of the schedule was due last, and how often it could not run.
CREATE TABLE lines (
    line TEXT PRIMARY KEY,
    due INTEGER NOT NULL,
    missed INTEGER NOT NULL
) STRICT;

-- What else must outlive the process, such as what is paused. Our own: `days_until`, and `whole_since`, the moment before
-- which probes are gone, so that only whole days are known.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
