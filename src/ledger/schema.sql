-- The ledger, version 1. Times are milliseconds since 1970, UTC. Released migrations are never changed.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per order code. The states are those of docs/architecture.md.
CREATE TABLE orders (
    code           TEXT PRIMARY KEY NOT NULL,
    key            TEXT NOT NULL,                -- the shop's own id
    created        INTEGER NOT NULL,             -- with key: who owns the code
    state          TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'parked', 'deleted')),
    row_hash       BLOB,                         -- raw row last looked at
    fingerprint    INTEGER,                      -- of the mapping it was looked at with
    row_status     TEXT,                         -- raw status last read
    wanted_hash    BLOB,                         -- content Brani should have
    sent_hash      BLOB,                         -- content Brani has
    fields         BLOB,                         -- a short keyed hash per field of what was sent
    known          INTEGER NOT NULL DEFAULT 0,   -- Brani answered a request of ours with success
    shop_status    TEXT,                         -- as last agreed, raw
    brani_status   INTEGER,                      -- as last agreed
    writing        TEXT,                         -- a write-back was begun with this value
    wrote          INTEGER,                      -- exports: when our last write into the shop was done,
    stale          TEXT,                         -- … what stood there before it (JSON),
    doubted        INTEGER,                      -- … the first export made after it that said so still,
    begun          TEXT,                         -- … and writes begun before `writing` whose end is not known (JSON)
    unconfirmed    INTEGER NOT NULL DEFAULT 0,
    owed           INTEGER NOT NULL DEFAULT 0,
    window_status  INTEGER,
    window_from    INTEGER,
    window_to      INTEGER,
    window_after   INTEGER,                      -- the newest event known when the request left: no echo of it
    status_event   INTEGER,                      -- newest status event dealt with: its creation …
    status_event_id INTEGER,                     -- … and id
    lane           INTEGER NOT NULL DEFAULT 0,   -- 0 new, 1 update, 2 backlog, 3 sent again for a new mapping
    due            INTEGER NOT NULL DEFAULT 0,   -- not before
    attempts       INTEGER NOT NULL DEFAULT 0,
    failing_since  INTEGER,
    unanswered     INTEGER NOT NULL DEFAULT 0,   -- a request of ours may still be on its way
    say_again      INTEGER,                      -- … until then: a success before it does not count for good
    problems       TEXT,                         -- why parked (JSON)
    parked_by      TEXT CHECK (parked_by IN ('mapping', 'brani', 'person')),
    missing_since  INTEGER,                      -- first look-up that did not find the row
    row_gone       INTEGER NOT NULL DEFAULT 0,   -- the row says that it is withdrawn
    delete_wanted  INTEGER NOT NULL DEFAULT 0,
    sent_at        INTEGER,
    answer         TEXT,                         -- last answer in one line
    told_parked    INTEGER NOT NULL DEFAULT 0    -- the handler `parked` was told
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_due ON orders (lane, created DESC) WHERE state = 'waiting';
CREATE INDEX orders_parked ON orders (code) WHERE state = 'parked';
CREATE INDEX orders_told ON orders (code) WHERE told_parked = 1;
CREATE INDEX orders_writing ON orders (code) WHERE writing IS NOT NULL;
CREATE INDEX orders_unconfirmed ON orders (code) WHERE unconfirmed = 1;
CREATE INDEX orders_delete ON orders (code) WHERE delete_wanted = 1;
CREATE INDEX orders_gone ON orders (code) WHERE row_gone = 1;
CREATE INDEX orders_missing ON orders (missing_since) WHERE missing_since IS NOT NULL;

-- What is to be sent: personal data, gone the moment Brani has it. With row ids: a table without them would put each
-- payload into a page of its own, and that page would be written when it comes, when it goes and when it is overwritten.
CREATE TABLE payloads (
    code    TEXT PRIMARY KEY NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- A code that a second order of the shop claims.
CREATE TABLE claims (
    code    TEXT NOT NULL,
    key     TEXT NOT NULL,
    created INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    PRIMARY KEY (code, key, created)
) STRICT, WITHOUT ROWID;

-- Codes that a person told us to leave alone, or to forget: hashed.
CREATE TABLE tombstones (
    hash BLOB PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The inbox: Brani's events, each once.
CREATE TABLE events (
    id             INTEGER NOT NULL,
    general        INTEGER NOT NULL DEFAULT 0,
    webhook_id     INTEGER NOT NULL,
    type           TEXT NOT NULL,
    code           TEXT,
    creation       TEXT NOT NULL,                -- as Brani wrote it
    at             INTEGER NOT NULL,             -- its first reading as a moment
    status_id      INTEGER,
    package_number TEXT,
    text           TEXT,                         -- gone once dealt with
    state          TEXT NOT NULL CHECK (state IN ('new', 'applied', 'superseded', 'echo', 'unmatched', 'unmapped',
                                                  'protected', 'stuck', 'skipped', 'seen')),
    held           INTEGER NOT NULL DEFAULT 0,   -- the drain that brought it is not complete yet
    initial        INTEGER NOT NULL DEFAULT 0,   -- came with the first drain of this ledger
    pushed         INTEGER NOT NULL DEFAULT 0,   -- Brani says its push succeeded
    attempts       INTEGER NOT NULL DEFAULT 0,
    due            INTEGER NOT NULL DEFAULT 0,
    reason         TEXT,
    received       INTEGER NOT NULL,
    done           INTEGER,
    PRIMARY KEY (general, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_new ON events (code, id) WHERE state IN ('new', 'stuck');
CREATE INDEX events_held ON events (id) WHERE held = 1;
CREATE INDEX events_code ON events (code, id);
CREATE INDEX events_done ON events (done) WHERE done IS NOT NULL;

-- How far each webhook's listing has been read.
CREATE TABLE listings (
    webhook_id INTEGER PRIMARY KEY NOT NULL,
    type       TEXT NOT NULL,
    newest     TEXT NOT NULL                     -- newest event_creation seen
) STRICT;

-- Small counters for a day's throughput and the log's totals, by hour.
CREATE TABLE counts (
    hour  INTEGER NOT NULL,
    name  TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, name)
) STRICT, WITHOUT ROWID;

-- What stands beside an order at Brani: a row for each kind that the shop ever wanted of it.
CREATE TABLE extras (
    code          TEXT NOT NULL,
    kind          TEXT NOT NULL,                 -- priority, ordering, tags, customs, attributes, invoice, remark, tracking
    state         TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'missing', 'parked')),
    wanted        BLOB,                          -- hash of what the row wants; none: nothing any more
    value         TEXT,                          -- what is wanted, forgotten once Brani has it (an invoice's place stays)
    sent          BLOB,                          -- hash of what Brani has
    memory        TEXT,                          -- what must be known to take it back or to see a change (JSON)
    due           INTEGER,                       -- not before; none: nothing is to be done
    attempts      INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    problem       TEXT,                          -- why parked (JSON)
    note          TEXT,                          -- warnings of the last answer
    since         INTEGER NOT NULL,              -- first wanted
    done          INTEGER,                       -- last success
    PRIMARY KEY (code, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX extras_due ON extras (due) WHERE due IS NOT NULL;
CREATE INDEX extras_parked ON extras (code) WHERE state = 'parked';

-- How many orders and events are in each state. Triggers keep them: to count a million at each heartbeat were no idling.
CREATE TABLE totals (
    what  TEXT NOT NULL CHECK (what IN ('orders', 'events')),
    state TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (what, state)
) STRICT, WITHOUT ROWID;
INSERT INTO totals (what, state, count) VALUES
    ('orders', 'waiting', 0), ('orders', 'sent', 0), ('orders', 'parked', 0), ('orders', 'deleted', 0),
    ('events', 'new', 0), ('events', 'applied', 0), ('events', 'superseded', 0), ('events', 'echo', 0),
    ('events', 'unmatched', 0), ('events', 'unmapped', 0), ('events', 'protected', 0), ('events', 'stuck', 0),
    ('events', 'skipped', 0), ('events', 'seen', 0);
CREATE TRIGGER orders_come AFTER INSERT ON orders BEGIN
    UPDATE totals SET count = count + 1 WHERE what = 'orders' AND state = new.state;
END;
CREATE TRIGGER orders_go AFTER DELETE ON orders BEGIN
    UPDATE totals SET count = count - 1 WHERE what = 'orders' AND state = old.state;
END;
CREATE TRIGGER orders_turn AFTER UPDATE OF state ON orders WHEN new.state <> old.state BEGIN
    UPDATE totals SET count = count - 1 WHERE what = 'orders' AND state = old.state;
    UPDATE totals SET count = count + 1 WHERE what = 'orders' AND state = new.state;
END;
CREATE TRIGGER events_come AFTER INSERT ON events BEGIN
    UPDATE totals SET count = count + 1 WHERE what = 'events' AND state = new.state;
END;
CREATE TRIGGER events_go AFTER DELETE ON events BEGIN
    UPDATE totals SET count = count - 1 WHERE what = 'events' AND state = old.state;
END;
CREATE TRIGGER events_turn AFTER UPDATE OF state ON events WHEN new.state <> old.state BEGIN
    UPDATE totals SET count = count - 1 WHERE what = 'events' AND state = old.state;
    UPDATE totals SET count = count + 1 WHERE what = 'events' AND state = new.state;
END;
