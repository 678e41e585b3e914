-- The rows of a snapshot as stored, and the days on which an instant falls.
-- Here: what every view below needs of dates. Not here: which dates can't be (enrollments.sql).
-- Variables: path, sentinels_end. Table: unified_columns, empty.

-- The day in UTC. Without DuckDB's time zones: these differ from ours.
CREATE TEMP MACRO utc_day_of(moment) AS make_timestamp(epoch_us(moment))::DATE;

-- A column that a file of an older schema lacks is null.
CREATE TEMP VIEW served AS
FROM unified_columns
UNION ALL BY NAME
FROM read_parquet(getvariable('path'), hive_partitioning = false, file_row_number = true);

CREATE TEMP VIEW utc_days AS
SELECT DISTINCT utc_day_of(moment) AS utc_day
FROM (
    SELECT unnest([assigned_at, enrolled_at, completed_at, due_at, updated_at, fetched_at]) AS moment
    FROM served
)
WHERE moment >= getvariable('sentinels_end')
ORDER BY utc_day;
