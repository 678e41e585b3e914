-- Each row of a snapshot as of the snapshot's end: the input of every set.
-- Here: reading, faulty dates, the day's end, calendar days, excluded rows. Not here: any set (classify.sql).
-- Variables: path, snapshot_date, as_of, zone, statuses, excluded_roles. Table: unified_columns, empty.

CREATE TEMP MACRO day_of(moment) AS timezone(getvariable('zone'), moment)::DATE;

-- Exactly midnight in UTC is a date without a time; any other due time is on a day of the time zone.
CREATE TEMP MACRO due_day_of(moment) AS
    CASE
        WHEN timezone('UTC', moment)::TIME = TIME '00:00:00' THEN timezone('UTC', moment)::DATE
        ELSE day_of(moment)
    END;

-- A date after the row was fetched is no date; only a due date may be in the future.
CREATE TEMP MACRO past_or_null(moment, fetched_at) AS CASE WHEN moment <= fetched_at THEN moment END;

-- NaN and infinity are no measurements.
CREATE TEMP MACRO finite(number) AS CASE WHEN isfinite(number) THEN number END;

-- A column that a file of an older schema lacks is null.
CREATE TEMP VIEW served AS
FROM unified_columns
UNION ALL BY NAME
FROM read_parquet(getvariable('path'), hive_partitioning = false);

CREATE TEMP VIEW dated AS
SELECT
    enrollment_id, user_id, user_name, course_id, course_title, is_mandatory, attempt_number, due_at,
    time_spent_seconds, source, fetched_at,
    lower(trim(status)) AS status,
    lower(trim(role)) AS role,
    finite(progress_percent) AS progress_percent,
    finite(score) AS score,
    past_or_null(assigned_at, fetched_at) AS assigned_at,
    past_or_null(enrolled_at, fetched_at) AS enrolled_at,
    past_or_null(started_at, fetched_at) AS started_at,
    past_or_null(completed_at, fetched_at) AS completed_at,
    past_or_null(last_activity_at, fetched_at) AS last_activity_at,
    past_or_null(updated_at, fetched_at) AS updated_at,
    coalesce((assigned_at > fetched_at)::INT, 0)
    + coalesce((enrolled_at > fetched_at)::INT, 0)
    + coalesce((started_at > fetched_at)::INT, 0)
    + coalesce((completed_at > fetched_at)::INT, 0)
    + coalesce((last_activity_at > fetched_at)::INT, 0)
    + coalesce((created_at > fetched_at)::INT, 0)
    + coalesce((updated_at > fetched_at)::INT, 0) AS faulty_dates
FROM served;

-- An event exactly at the day's end counts; an event after it has not happened yet.
CREATE TEMP VIEW at_day_end AS
SELECT
    * EXCLUDE (status, completed_at),
    coalesce(enrolled_at, assigned_at) AS began,
    coalesce(completed_at > getvariable('as_of'), false) AS completed_later,
    CASE WHEN NOT completed_later THEN completed_at END AS completed_at,
    CASE
        WHEN completed_later THEN 'in_progress'
        WHEN list_contains(getvariable('statuses'), status) THEN status
        ELSE 'unknown'
    END AS status,
    coalesce(list_contains(getvariable('excluded_roles'), role), false) AS has_excluded_role,
    NOT has_excluded_role AND coalesce(began > getvariable('as_of'), false) AS began_later
FROM dated;

-- The set `all`: one row per enrollment that counts, with its calendar days.
CREATE TEMP VIEW enrollments AS
SELECT
    * EXCLUDE (has_excluded_role, began_later),
    day_of(began) AS began_day,
    day_of(completed_at) AS completed_day,
    day_of(updated_at) AS updated_day,
    due_day_of(due_at) AS due_day
FROM at_day_end
WHERE NOT (has_excluded_role OR began_later);
