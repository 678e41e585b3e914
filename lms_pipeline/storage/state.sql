-- The state of an installation: see `postgres_state.py`. It changes nothing the second time.

CREATE TABLE IF NOT EXISTS lms.notes (name text PRIMARY KEY, content text NOT NULL, changed_at timestamptz NOT NULL);

-- `json` and not `jsonb`, which refuses \u0000 in a name
CREATE TABLE IF NOT EXISTS lms.accounts (
  id text PRIMARY KEY, doc json NOT NULL, position bigint GENERATED ALWAYS AS IDENTITY
);

-- the times that are reserved for calls
CREATE TABLE IF NOT EXISTS lms.slots (id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL, at timestamptz NOT NULL);
CREATE INDEX IF NOT EXISTS slots_by_time ON lms.slots (name, at DESC);

-- Reserves the first free time of a limit, in the order of arrival: at most `p_calls` in any window, and `p_gap` seconds
-- between two. Returns the seconds until then, and no slot if they are more than `p_most`. The clock is the server's. A crash
-- of the server may lose the last half second of calls.
CREATE OR REPLACE FUNCTION lms.take_slot(
  p_name text, p_calls integer, p_window float8, p_gap float8, p_most float8, OUT slot bigint, OUT seconds float8
) LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz;
  v_after_last timestamptz;
  v_after_window timestamptz;
  v_at timestamptz;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock(hashtextextended('lms slots ' || p_name, 0));
  v_now := clock_timestamp();
  IF p_gap > 0 THEN
    SELECT s.at + make_interval(secs => p_gap) INTO v_after_last
    FROM lms.slots AS s WHERE s.name = p_name ORDER BY s.at DESC LIMIT 1;
  END IF;
  SELECT s.at + make_interval(secs => p_window) INTO v_after_window
  FROM lms.slots AS s WHERE s.name = p_name ORDER BY s.at DESC LIMIT 1 OFFSET p_calls - 1;
  v_at := greatest(v_now, v_after_last, v_after_window);
  seconds := extract(epoch FROM v_at - v_now);
  IF seconds > p_most THEN
    RETURN;
  END IF;
  INSERT INTO lms.slots (name, at) VALUES (p_name, v_at) RETURNING id INTO slot;
  IF random() < 0.01 THEN
    DELETE FROM lms.slots AS s WHERE s.name = p_name AND s.at < v_now - make_interval(secs => p_window);
  END IF;
END $$;
