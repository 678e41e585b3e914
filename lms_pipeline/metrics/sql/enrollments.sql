-- Each row of a snapshot as of the snapshot's end: the input of every set.
-- Here: roles, dates that can't be, events after the day's end, calendar days. Not here: the sets (classify.sql).
-- Views: served (dates.sql). Table: local_days. Function: count_sentinel_dates. Macro: normalize_role (tables/normalize_role.sql).
-- Variables: snapshot_date, statuses, excluded_roles, sentinels_end.

-- A timestamp before 1980 means "no date". It is null since it is read so, but not in older files.
CREATE TEMP MACRO without_sentinel(moment) AS CASE WHEN moment >= getvariable('sentinels_end') THEN moment END;
CREATE TEMP MACRO count_sentinel(moment) AS coalesce((moment < getvariable('sentinels_end'))::INT, 0);

-- A date after the row was fetched can't be; only a due date may be in the future. A date without a time can be until
-- the end of the day on which it was fetched: east of Greenwich that day begins before 00:00 UTC.
CREATE TEMP MACRO is_faulty(moment, fetched_at, fetched_day) AS
    coalesce(moment > fetched_at AND NOT (is_date(moment) AND utc_day_of(moment) <= fetched_day), false);
CREATE TEMP MACRO past_or_null(moment, fetched_at, fetched_day) AS
    CASE WHEN NOT is_faulty(moment, fetched_at, fetched_day) THEN without_sentinel(moment) END;

-- NaN and infinity are no measurements.
CREATE TEMP MACRO finite(number) AS CASE WHEN isfinite(number) THEN number END;

CREATE TEMP VIEW dated AS
SELECT
    enrollment_id, user_id, user_name, course_id, course_title, is_mandatory, attempt_number,
    time_spent_seconds, source, fetched_at,
    lower(trim(status)) AS status,
    normalize_role(role) AS role,
    finite(progress_percent) AS progress_percent,
    finite(score) AS score,
    without_sentinel(due_at) AS due_at,
    past_or_null(assigned_at, fetched_at, fetched_on.day) AS assigned_at,
    past_or_null(enrolled_at, fetched_at, fetched_on.day) AS enrolled_at,
    past_or_null(started_at, fetched_at, fetched_on.day) AS started_at,
    past_or_null(completed_at, fetched_at, fetched_on.day) AS completed_at,
    past_or_null(last_activity_at, fetched_at, fetched_on.day) AS last_activity_at,
    past_or_null(updated_at, fetched_at, fetched_on.day) AS updated_at,
    is_faulty(assigned_at, fetched_at, fetched_on.day)::INT
    + is_faulty(enrolled_at, fetched_at, fetched_on.day)::INT
    + is_faulty(started_at, fetched_at, fetched_on.day)::INT
    + is_faulty(completed_at, fetched_at, fetched_on.day)::INT
    + is_faulty(last_activity_at, fetched_at, fetched_on.day)::INT
    + is_faulty(created_at, fetched_at, fetched_on.day)::INT
    + is_faulty(updated_at, fetched_at, fetched_on.day)::INT AS faulty_dates,
    count_sentinel(assigned_at)
    + count_sentinel(enrolled_at)
    + count_sentinel(started_at)
    + count_sentinel(completed_at)
    + count_sentinel(due_at)
    + count_sentinel(last_activity_at)
    + count_sentinel(created_at)
    + count_sentinel(updated_at)
    -- the keys of a date; without them the JSON is not decoded
    + CASE
        WHEN contains(extra, '_at":') OR contains(extra, '_timestamp":') THEN count_sentinel_dates(extra)
        ELSE 0
    END AS sentinel_dates
FROM served
LEFT JOIN local_days AS fetched_on
ON fetched_on.utc_day = utc_day_of(fetched_at) AND fetched_at BETWEEN fetched_on.first_at AND fetched_on.last_at;

CREATE TEMP VIEW begun AS
SELECT *, coalesce(enrolled_at, assigned_at) AS began
FROM dated;

-- What happened on a later day than the snapshot's has not happened yet.
CREATE TEMP VIEW at_day_end AS
SELECT
    begun.* EXCLUDE (status, completed_at),
    began_on.day AS began_day,
    updated_on.day AS updated_day,
    due_on.day AS due_day,
    coalesce(completed_on.day > getvariable('snapshot_date'), false) AS completed_later,
    CASE WHEN NOT completed_later THEN completed_at END AS completed_at,
    CASE WHEN NOT completed_later THEN completed_on.day END AS completed_day,
    CASE
        WHEN completed_later THEN 'in_progress'
        WHEN list_contains(getvariable('statuses'), status) THEN status
        ELSE 'unknown'
    END AS status,
    coalesce(list_contains(getvariable('excluded_roles'), role), false) AS has_excluded_role,
    NOT has_excluded_role AND coalesce(began_day > getvariable('snapshot_date'), false) AS began_later
FROM begun
LEFT JOIN local_days AS began_on
ON began_on.utc_day = utc_day_of(began) AND began BETWEEN began_on.first_at AND began_on.last_at
LEFT JOIN local_days AS completed_on
ON completed_on.utc_day = utc_day_of(completed_at)
AND completed_at BETWEEN completed_on.first_at AND completed_on.last_at
LEFT JOIN local_days AS updated_on
ON updated_on.utc_day = utc_day_of(updated_at) AND updated_at BETWEEN updated_on.first_at AND updated_on.last_at
LEFT JOIN local_days AS due_on
ON due_on.utc_day = utc_day_of(due_at) AND due_at BETWEEN due_on.first_at AND due_on.last_at;

-- The set `all`: one row per enrollment that counts.
CREATE TEMP VIEW enrollments AS
SELECT * EXCLUDE (has_excluded_role, began_later, completed_later)
FROM at_day_end
WHERE NOT (has_excluded_role OR began_later);
