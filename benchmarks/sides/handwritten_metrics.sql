-- What a person would write for the counts of docs/metrics.md: all sets and statuses by course, by learner and for the
-- account, in one pass. It has no percentiles, means and rates, which this package computes too.
-- Parameters: path, snapshot_date, ended_at.
WITH enrollments AS (
    SELECT
        *,
        completed_at::DATE AS completed_day,
        updated_at::DATE AS updated_day,
        due_at::DATE AS due_day,
        rank() OVER (
            PARTITION BY user_id, course_id
            ORDER BY began_at DESC NULLS LAST, attempt_number DESC NULLS LAST, enrollment_id DESC NULLS LAST
        ) > 1 AS is_superseded
    FROM (
        SELECT
            user_id, course_id, enrollment_id, attempt_number, started_at, completed_at, updated_at, due_at,
            progress_percent, time_spent_seconds, is_mandatory,
            lower(trim(status)) AS status,
            coalesce(enrolled_at, assigned_at) AS began_at
        FROM read_parquet($path)
        WHERE coalesce(lower(trim("role")), '') NOT IN ('instructor', 'teacher', 'trainer', 'admin', 'observer')
    )
    WHERE coalesce(began_at <= $ended_at, true)
),
sets AS (
    SELECT
        *,
        status IN ('completed', 'passed') AS completed,
        completed OR (completed_at IS NOT NULL AND status <> 'failed') AS ever_completed,
        status IN ('completed', 'passed', 'failed') AS finished,
        started_at IS NOT NULL OR completed_at IS NOT NULL OR coalesce(progress_percent > 0, false)
            OR coalesce(time_spent_seconds > 0, false) OR finished OR status = 'in_progress' AS started,
        status IN ('assigned', 'enrolled', 'in_progress', 'overdue') AS is_open,
        status = 'withdrawn' AND coalesce(updated_day <= due_day, false) AS withdrawn_in_time,
        status = 'withdrawn' AND NOT started
            AND (due_day IS NULL OR due_day > $snapshot_date OR withdrawn_in_time) AS dropped_early,
        coalesce(due_day <= $snapshot_date, false) AND NOT withdrawn_in_time AS due,
        due AND ever_completed AND NOT is_open AS due_done,
        is_open AND NOT is_superseded AND (due OR status = 'overdue') AS overdue,
        coalesce(is_mandatory, false) AND NOT is_superseded AS mandatory
    FROM enrollments
)
SELECT
    course_id,
    user_id,
    count(*) AS n_all,
    count(*) FILTER (completed) AS n_completed,
    count(*) FILTER (ever_completed) AS n_ever_completed,
    count(*) FILTER (ever_completed AND status = 'expired') AS n_lapsed,
    count(*) FILTER (NOT ever_completed AND status = 'expired') AS n_timed_out,
    count(*) FILTER (finished) AS n_finished,
    count(*) FILTER (started) AS n_started,
    count(*) FILTER (is_open) AS n_open,
    count(*) FILTER (is_open AND started) AS n_open_started,
    count(*) FILTER (is_open AND NOT started) AS n_not_started,
    count(*) FILTER (dropped_early) AS n_dropped_early,
    count(*) FILTER (NOT dropped_early) AS n_eligible,
    count(*) FILTER (is_superseded) AS n_superseded,
    count(*) FILTER (due) AS n_due,
    count(*) FILTER (due_done AND completed_day <= due_day) AS n_on_time,
    count(*) FILTER (due_done AND completed_day > due_day) AS n_late,
    count(*) FILTER (due_done AND completed_day IS NULL) AS n_due_undated,
    count(*) FILTER (due AND is_open) AS n_due_open,
    count(*) FILTER (due AND NOT ever_completed AND status = 'failed') AS n_due_failed,
    count(*) FILTER (due AND NOT ever_completed AND status = 'withdrawn') AS n_due_withdrawn,
    count(*) FILTER (due AND NOT ever_completed AND status = 'expired') AS n_due_expired,
    count(*) FILTER (due AND NOT ever_completed AND status = 'unknown') AS n_due_unknown,
    count(*) FILTER (overdue) AS n_overdue,
    count(*) FILTER (mandatory AND status <> 'withdrawn') AS n_required,
    count(*) FILTER (mandatory AND is_open AND status <> 'overdue' AND coalesce(due_day > $snapshot_date, false))
        AS n_required_not_due,
    count(*) FILTER (mandatory AND status = 'withdrawn') AS n_mandatory_withdrawn,
    count(*) FILTER (status = 'assigned') AS status_assigned,
    count(*) FILTER (status = 'enrolled') AS status_enrolled,
    count(*) FILTER (status = 'in_progress') AS status_in_progress,
    count(*) FILTER (status = 'completed') AS status_completed,
    count(*) FILTER (status = 'passed') AS status_passed,
    count(*) FILTER (status = 'failed') AS status_failed,
    count(*) FILTER (status = 'withdrawn') AS status_withdrawn,
    count(*) FILTER (status = 'expired') AS status_expired,
    count(*) FILTER (status = 'overdue') AS status_overdue,
    count(*) FILTER (status = 'unknown') AS status_unknown,
    count(DISTINCT user_id) AS learners
FROM sets
GROUP BY GROUPING SETS ((course_id), (user_id), ())
