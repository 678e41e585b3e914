CREATE SCHEMA IF NOT EXISTS lms;

-- Tables of another version, or of which one is missing, are made again: the index is built from the lake.
DO $$ BEGIN
    PERFORM day, account, revision, tables, signatures, schema_version FROM lms.published LIMIT 1;
    PERFORM day, revision FROM lms.published_days LIMIT 1;
    PERFORM account, day, owner, began_at FROM lms.pending_publications LIMIT 1;
    PERFORM table_name, day, revision, signature, schema_version, left_out FROM lms.roll_ups LIMIT 1;
    PERFORM name, value FROM lms.index_marks LIMIT 1;
    PERFORM epoch, revision FROM lms.index_state LIMIT 1;
EXCEPTION WHEN undefined_table OR undefined_column THEN
    DROP TABLE IF EXISTS
        lms.published, lms.published_days, lms.pending_publications, lms.roll_ups, lms.index_marks, lms.index_state;
END $$;

CREATE TABLE IF NOT EXISTS lms.published (
    day date NOT NULL,
    account text COLLATE "C" NOT NULL, -- empty for tables over all accounts
    revision bigint NOT NULL,
    tables integer NOT NULL, -- a bit for each table that has a file
    signatures bytea NOT NULL,
    schema_version integer,
    PRIMARY KEY (day, account)
);
CREATE INDEX IF NOT EXISTS published_by_account ON lms.published (account, day, tables);
CREATE INDEX IF NOT EXISTS published_by_revision ON lms.published (revision);
CREATE INDEX IF NOT EXISTS published_by_schema ON lms.published (schema_version);
CREATE INDEX IF NOT EXISTS published_by_tables ON lms.published (tables);

-- The latest change of each day.
CREATE TABLE IF NOT EXISTS lms.published_days (
    day date PRIMARY KEY,
    revision bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS lms.pending_publications (
    account text COLLATE "C" NOT NULL,
    day date NOT NULL,
    owner text NOT NULL,
    began_at timestamptz NOT NULL,
    PRIMARY KEY (account, day, owner)
);

CREATE TABLE IF NOT EXISTS lms.roll_ups (
    table_name text COLLATE "C" NOT NULL,
    day date NOT NULL,
    revision bigint NOT NULL,
    signature bytea NOT NULL,
    schema_version integer NOT NULL,
    left_out integer NOT NULL,
    PRIMARY KEY (table_name, day)
);

CREATE TABLE IF NOT EXISTS lms.index_marks (
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE IF NOT EXISTS lms.index_state (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch text NOT NULL,
    revision bigint NOT NULL
);
INSERT INTO lms.index_state (epoch, revision) VALUES (gen_random_uuid()::text, 0) ON CONFLICT DO NOTHING;
