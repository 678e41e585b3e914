-- The rows of a snapshot as stored, and the days in UTC on which their timestamps fall.
-- Here: what has to be known before the calendar days can be computed. Not here: those days (local_days, by Python).
-- Variables: path, sentinels_end. Table: unified_columns, empty.

-- The day in UTC, and whether it is a date without a time. Without DuckDB's time zones: these differ from ours.
CREATE TEMP MACRO utc_day_of(moment) AS make_timestamp(epoch_us(moment))::DATE;
CREATE TEMP MACRO is_date(moment) AS epoch_us(moment) % 86_400_000_000 = 0;

-- A column that a file of an older schema lacks is null.
CREATE TEMP VIEW served AS
FROM unified_columns
UNION ALL BY NAME
FROM read_parquet(getvariable('path'), hive_partitioning = false);

CREATE TEMP VIEW utc_days AS
SELECT DISTINCT utc_day_of(moment) AS utc_day
FROM (
    SELECT unnest([assigned_at, enrolled_at, completed_at, due_at, updated_at, fetched_at]) AS moment
    FROM served
)
WHERE moment >= getvariable('sentinels_end')
ORDER BY utc_day;
