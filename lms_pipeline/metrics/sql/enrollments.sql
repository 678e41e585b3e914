-- Each row of a snapshot as of the snapshot's end, by what the LMS reported.
-- Here: roles, dates that can't be, events after the day's end. Not here: rules (rules.sql), the sets (classify.sql).
-- Views: served (dates.sql), with_days (days_utc.sql or days_local.sql).
-- Function: count_sentinel_dates. Macro: normalize_role (tables/normalize_role.sql).
-- Variables: snapshot_date, excluded_roles, learner_roles, sentinels_end.

CREATE TYPE enrollment_status AS ENUM (
    'assigned', 'enrolled', 'in_progress', 'completed', 'passed', 'failed', 'withdrawn', 'expired', 'overdue', 'unknown'
);

-- NaN and infinity are no measurements.
CREATE TEMP MACRO finite(number) AS CASE WHEN isfinite(number) THEN number END;

-- A timestamp before 1980 means "no date". It is null since it is read so, but not in older files.
CREATE TEMP MACRO is_date(moment) AS moment >= getvariable('sentinels_end');
CREATE TEMP MACRO count_sentinel(moment) AS CASE WHEN moment < getvariable('sentinels_end') THEN 1 ELSE 0 END;

-- A date after the row was fetched can't be; only a due date may be in the future. A date without a time can be until
-- the end of the day on which it was fetched: east of Greenwich that day begins before 00:00 UTC. So one later instant
-- can be, the 00:00 UTC of that day.
CREATE TEMP MACRO is_faulty(moment, fetched_at, fetched_day) AS moment > fetched_at AND moment <> fetched_day;
CREATE TEMP MACRO count_faulty(moment, fetched_at, fetched_day) AS
    CASE WHEN is_faulty(moment, fetched_at, fetched_day) THEN 1 ELSE 0 END;
CREATE TEMP MACRO has_happened(moment, fetched_at, fetched_day) AS
    is_date(moment) AND (moment <= fetched_at OR moment = fetched_day);

-- An account has a handful of roles.
CREATE TEMP TABLE roles AS
SELECT
    role,
    normalize_role(role) AS role_name,
    list_contains(getvariable('excluded_roles'), normalize_role(role)) AS is_excluded,
    NOT list_contains(getvariable('learner_roles'), normalize_role(role)) AS is_unfamiliar
FROM (SELECT DISTINCT role FROM served WHERE role IS NOT NULL);

CREATE TEMP VIEW reported AS
WITH dated AS (
    SELECT
        *,
        has_happened(enrolled_at, fetched_at, fetched_day) AS was_enrolled,
        has_happened(assigned_at, fetched_at, fetched_day) AS was_assigned,
        has_happened(started_at, fetched_at, fetched_day) AS was_started,
        has_happened(completed_at, fetched_at, fetched_day) AS was_completed,
        has_happened(updated_at, fetched_at, fetched_day) AS was_updated,
        -- What happened on a later day than the snapshot's has not happened yet.
        coalesce(was_completed AND completed_day > getvariable('snapshot_date'), false) AS completed_later
    FROM with_days
),

begun AS (
    SELECT
        file_row_number, enrollment_id, user_id, user_name, course_id, course_title, is_mandatory, attempt_number,
        time_spent_seconds, source, fetched_at, completed_later,
        finite(progress_percent) AS progress_percent,
        finite(score) AS score,
        CASE
            WHEN completed_later THEN 'in_progress'
            ELSE coalesce(try_cast(lower(trim(status)) AS enrollment_status), 'unknown')
        END AS status,
        role_name,
        coalesce(roles.is_excluded, false) AS has_excluded_role,
        coalesce(roles.is_unfamiliar, false) AS has_unfamiliar_role,
        CASE WHEN was_enrolled THEN enrolled_at WHEN was_assigned THEN assigned_at END AS began,
        CASE WHEN was_enrolled THEN enrolled_day WHEN was_assigned THEN assigned_day END AS began_day,
        CASE WHEN was_started THEN started_at END AS started_at,
        CASE WHEN was_completed AND NOT completed_later THEN completed_at END AS completed_at,
        CASE WHEN was_completed AND NOT completed_later THEN completed_day END AS completed_day,
        CASE WHEN has_happened(last_activity_at, fetched_at, fetched_day) THEN last_activity_at END AS last_activity_at,
        CASE WHEN was_updated THEN updated_day END AS updated_day,
        CASE WHEN is_date(due_at) THEN due_day END AS due_day,
        count_faulty(assigned_at, fetched_at, fetched_day)
        + count_faulty(enrolled_at, fetched_at, fetched_day)
        + count_faulty(started_at, fetched_at, fetched_day)
        + count_faulty(completed_at, fetched_at, fetched_day)
        + count_faulty(last_activity_at, fetched_at, fetched_day)
        + count_faulty(created_at, fetched_at, fetched_day)
        + count_faulty(updated_at, fetched_at, fetched_day) AS faulty_dates,
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
    FROM dated
    LEFT JOIN roles USING (role)
)

FROM begun;
