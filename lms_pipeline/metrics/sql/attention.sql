-- Open enrollments that need attention, with the reasons.
-- Here: the reasons, and the comparison with one earlier snapshot. Not here: which snapshot that is (earlier.py).
-- View: with_activity (activity_utc.sql or activity_local.sql). Table: unified_columns, empty.
-- Variables: snapshot_date, earlier_path, earlier_day (null if there is no earlier snapshot to compare with),
-- max_days_until_due, min_quiet_days.

CREATE TEMP VIEW watched AS
SELECT *
FROM with_activity
WHERE has(mask, 'watched');

CREATE TEMP VIEW earlier AS
SELECT user_id, course_id, enrollment_id, finite(progress_percent) AS progress_percent, time_spent_seconds
FROM (
    FROM unified_columns
    UNION ALL BY NAME
    FROM read_parquet(getvariable('earlier_path'), hive_partitioning = false)
)
WHERE getvariable('earlier_day') IS NOT NULL;

-- The enrollments that started and of which no activity up to the day is known: whether progress or time rose since the
-- earlier snapshot; null if neither can be compared, or if an activity after the day hides the one before. A row without an
-- identifier is compared with those of the learner in the course.
CREATE TEMP TABLE compared AS
SELECT
    row_number,
    bool_or(
        CASE
            WHEN watched.last_activity_at IS NOT NULL THEN NULL
            WHEN open_progress > progress_percent OR watched.time_spent_seconds > earlier.time_spent_seconds THEN true
            WHEN open_progress <= progress_percent OR watched.time_spent_seconds <= earlier.time_spent_seconds THEN false
        END
    ) AS has_risen
FROM watched
LEFT JOIN earlier
ON earlier.user_id = watched.user_id
AND earlier.course_id = watched.course_id
AND coalesce(earlier.enrollment_id = open_enrollment_id, true)
WHERE has(mask, 'started') AND last_activity_day IS NULL
GROUP BY row_number;

CREATE TEMP VIEW reasoned AS
WITH measured AS (
    SELECT
        watched.*,
        open_due_day - getvariable('snapshot_date') AS days_left,
        getvariable('snapshot_date') - began_day AS days_open,
        -- A course that opens later than the enrollment began can't be started before.
        CASE WHEN began_day IS NOT NULL THEN getvariable('snapshot_date') - greatest(began_day, opens_day) END
            AS days_startable,
        getvariable('snapshot_date') - last_activity_day AS days_quiet,
        -- No sign of life for as long as the earlier snapshot is old, at least.
        CASE WHEN NOT has_risen THEN getvariable('snapshot_date') - getvariable('earlier_day')::DATE END AS days_unchanged,

        has(mask, 'overdue') AS is_overdue,
        -- Behind an even pace. Without a beginning there is no pace: whoever is not at 100 percent is behind.
        coalesce(open_progress < coalesce(100 * days_open / (days_open + days_left), 100), true) AS is_behind,
        coalesce(days_left BETWEEN 1 AND getvariable('max_days_until_due'), false) AND is_behind AS is_due_soon,
        -- The progress of a completion after the day is that of the completion.
        coalesce(open_progress >= 100, false) AND NOT has(mask, 'after_day') AS is_stuck,
        has(mask, 'started') AND coalesce(coalesce(days_quiet, days_unchanged) >= getvariable('min_quiet_days'), false) AS is_idle,
        has(mask, 'not_started') AND coalesce(days_startable >= getvariable('min_quiet_days'), false) AS has_never_started
    FROM watched
    LEFT JOIN compared USING (row_number)
)

SELECT
    *,
    concat_ws(
        ',',
        CASE WHEN is_overdue THEN 'overdue' END,
        CASE WHEN is_due_soon THEN 'due_soon' END,
        CASE WHEN is_stuck THEN 'stuck' END,
        CASE WHEN is_idle THEN 'idle' END,
        CASE WHEN has_never_started THEN 'never_started' END
    ) AS reasons
FROM measured
WHERE is_overdue OR is_due_soon OR is_stuck OR is_idle OR has_never_started;

-- Those that may be idle, which nothing shows, and that are not listed for another reason.
CREATE TEMP VIEW idle_unknown AS
SELECT row_number
FROM compared
ANTI JOIN reasoned USING (row_number)
WHERE compared.has_risen IS NULL;

CREATE TEMP VIEW attention AS
SELECT
    open_enrollment_id AS enrollment_id,
    user_id,
    user_name,
    course_id,
    course_title,
    split_part(reasons, ',', 1) AS reason,
    reasons,
    CASE
        WHEN is_overdue THEN CASE WHEN days_left <= 0 THEN -days_left END
        WHEN is_due_soon THEN days_left
        WHEN is_stuck OR is_idle THEN coalesce(days_quiet, days_unchanged)
        ELSE days_startable
    END AS days,
    CASE
        WHEN has(mask, 'assigned') THEN 'assigned'
        WHEN has(mask, 'enrolled') THEN 'enrolled'
        WHEN has(mask, 'in_progress') THEN 'in_progress'
        ELSE 'overdue'
    END AS status,
    open_progress AS progress_percent,
    began_day,
    open_due_day AS due_day,
    last_activity_day AS last_seen_day,
    -- Of an open enrollment that is not superseded, this is whether it is required.
    CASE WHEN has(mask, 'mandatory_known') THEN has(mask, 'required') END AS is_mandatory,
    CASE WHEN has(mask, 'dated_by_rule') THEN 'rule' WHEN has(mask, 'dated') THEN 'lms' END AS due_source,
    CASE WHEN has(mask, 'flagged_by_rule') THEN 'rule' WHEN has(mask, 'mandatory_known') THEN 'lms' END AS mandatory_source
FROM reasoned;
