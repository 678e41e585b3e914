CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    plan TEXT NOT NULL,
    started_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    circumstances TEXT,
    is_finished BOOLEAN NOT NULL DEFAULT FALSE
);

-- Rejected attempts.
CREATE TABLE IF NOT EXISTS refused (
    attempt INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS answers (
    attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    status INTEGER NOT NULL,
    received_at TEXT NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (attempt, key)
);
