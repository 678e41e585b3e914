-- Each enrollment and the sets that it is in: one column per set, true or false, never null.
-- Here: the definitions, in the order of docs/metrics.md, and only here. Not here: counting (counts.sql).
-- Views: enrollments (enrollments.sql). Variables: snapshot_date, reports_withdrawn.
-- Tables, not views: they are read many times for each metric table, and views took twice as long.

CREATE TEMP MACRO is_due_by(day) AS coalesce(day <= getvariable('snapshot_date'), false);

CREATE TEMP TABLE classified AS
SELECT
    *,

    -- The same learner has a later enrollment in the same course. If all columns are equal, neither is later. The day
    -- goes first: west of Greenwich a date without a time is an instant of the day before.
    rank() OVER (
        PARTITION BY user_id, course_id
        ORDER BY began_day DESC NULLS LAST, began DESC NULLS LAST, attempt_number DESC NULLS LAST, enrollment_id DESC NULLS LAST
    ) > 1 AS in_superseded,

    true AS in_all,
    status IN ('completed', 'passed') AS in_completed,
    in_completed OR (completed_at IS NOT NULL AND status <> 'failed') AS in_ever_completed,
    in_ever_completed AND status = 'expired' AS in_lapsed,
    status = 'expired' AND NOT in_ever_completed AS in_timed_out,
    status IN ('completed', 'passed', 'failed') AS in_finished,
    started_at IS NOT NULL
    OR completed_at IS NOT NULL
    OR coalesce(progress_percent > 0, false)
    OR coalesce(time_spent_seconds > 0, false)
    OR in_finished
    OR status = 'in_progress' AS in_started,
    status IN ('assigned', 'enrolled', 'in_progress', 'overdue') AS in_open,
    in_open AND in_started AS in_open_started,
    in_open AND NOT in_started AS in_not_started,

    -- Withdrawn before it was overdue. A withdrawal without a date can't be shown to be in time.
    status = 'withdrawn' AND coalesce(updated_day <= due_day, false) AS withdrawn_in_time,
    status = 'withdrawn'
    AND NOT in_started
    AND (due_day IS NULL OR due_day > getvariable('snapshot_date') OR withdrawn_in_time) AS in_dropped_early,
    NOT in_dropped_early AS in_eligible,
    in_eligible AND in_started AS in_eligible_started,

    is_due_by(due_day) AND NOT withdrawn_in_time AS in_due,
    -- Due, and completed at some time. An open enrollment is being renewed: it is neither on time nor late.
    in_due AND in_ever_completed AND NOT in_open AS due_and_done,
    due_and_done AND coalesce(completed_day <= due_day, false) AS in_on_time,
    due_and_done AND coalesce(completed_day > due_day, false) AS in_late,
    due_and_done AND completed_day IS NULL AS in_due_undated,
    in_due AND in_open AS in_due_open,
    in_due AND NOT in_ever_completed AND status = 'failed' AS in_due_failed,
    in_due AND NOT in_ever_completed AND status = 'withdrawn' AS in_due_withdrawn,
    in_due AND NOT in_ever_completed AND status = 'expired' AS in_due_expired,
    in_due AND NOT in_ever_completed AND status = 'unknown' AS in_due_unknown,
    in_open AND NOT in_superseded AND (in_due OR status = 'overdue') AS in_overdue,
    in_overdue AND due_day IS NOT NULL AS in_overdue_dated,
    in_open AND NOT in_superseded AND due_day IS NOT NULL AS in_open_dated,

    coalesce(is_mandatory, false) AND NOT in_superseded AND status <> 'withdrawn' AS in_required,
    coalesce(is_mandatory, false) AND NOT in_superseded AND status = 'withdrawn' AS in_mandatory_withdrawn,
    in_required AND in_completed AS in_required_completed,
    -- Not yet due requires a due day in the future: without one, nothing shows that there is time left.
    in_required AND in_open AND status <> 'overdue'
    AND coalesce(due_day > getvariable('snapshot_date'), false) AS in_required_not_due,

    -- Only for completed enrollments; negative if the dates contradict each other.
    CASE WHEN in_ever_completed THEN completed_day - began_day END AS days_to_complete
FROM enrollments;

-- What is known of this account on this day: a field that no enrollment has is not known.
CREATE TEMP TABLE known AS
SELECT
    coalesce(bool_or(due_at IS NOT NULL OR status = 'overdue'), false) AS knows_due,
    coalesce(bool_or(is_mandatory IS NOT NULL), false) AS knows_mandatory,
    coalesce(bool_or(score IS NOT NULL), false) AS knows_score,
    coalesce(bool_or(time_spent_seconds IS NOT NULL), false) AS knows_time,
    getvariable('reports_withdrawn') AS knows_withdrawn
FROM enrollments;
