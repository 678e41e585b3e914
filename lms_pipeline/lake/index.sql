CREATE TABLE IF NOT EXISTS published (
    day TEXT NOT NULL,
    account TEXT NOT NULL, -- empty for tables over all accounts
    revision INTEGER NOT NULL,
    tables INTEGER NOT NULL, -- a bit for each table that has a file
    signatures BLOB NOT NULL,
    run_id TEXT,
    digest TEXT,
    row_count INTEGER,
    byte_count INTEGER NOT NULL,
    is_complete INTEGER,
    strategy TEXT,
    schema_version INTEGER,
    published_at TEXT,
    PRIMARY KEY (day, account)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS published_by_account ON published (account, day, tables);
CREATE INDEX IF NOT EXISTS published_by_revision ON published (revision);
CREATE INDEX IF NOT EXISTS published_by_schema ON published (schema_version, day);

-- The latest change of each day.
CREATE TABLE IF NOT EXISTS days (
    day TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS pending (
    account TEXT NOT NULL,
    day TEXT NOT NULL,
    owner TEXT NOT NULL,
    began_at TEXT NOT NULL,
    PRIMARY KEY (account, day, owner)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS roll_ups (
    table_name TEXT NOT NULL,
    day TEXT NOT NULL,
    revision INTEGER NOT NULL,
    signature BLOB NOT NULL,
    schema_version INTEGER NOT NULL,
    left_out INTEGER NOT NULL,
    PRIMARY KEY (table_name, day)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS marks (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch TEXT NOT NULL,
    revision INTEGER NOT NULL
);
