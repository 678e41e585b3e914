CREATE TABLE published (
    day TEXT NOT NULL,
    account TEXT NOT NULL, -- empty for tables over all accounts
    revision INTEGER NOT NULL,
    tables INTEGER NOT NULL, -- a bit for each table that has a file
    signatures BLOB NOT NULL,
    schema_version INTEGER,
    PRIMARY KEY (day, account)
) WITHOUT ROWID;
CREATE INDEX published_by_account ON published (account, day, tables);
CREATE INDEX published_by_revision ON published (revision);
CREATE INDEX published_by_schema ON published (schema_version, day);
CREATE INDEX published_by_tables ON published (tables);

-- The latest change of each day.
CREATE TABLE published_days (
    day TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pending_publications (
    account TEXT NOT NULL,
    day TEXT NOT NULL,
    owner TEXT NOT NULL,
    began_at TEXT NOT NULL,
    PRIMARY KEY (account, day, owner)
) WITHOUT ROWID;

CREATE TABLE roll_ups (
    table_name TEXT NOT NULL,
    day TEXT NOT NULL,
    revision INTEGER NOT NULL,
    signature BLOB NOT NULL,
    schema_version INTEGER NOT NULL,
    left_out INTEGER NOT NULL,
    PRIMARY KEY (table_name, day)
) WITHOUT ROWID;

CREATE TABLE index_marks (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE index_state (
    id INTEGER PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch TEXT NOT NULL,
    revision INTEGER NOT NULL
);
