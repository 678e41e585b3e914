-- Each enrollment and the sets that it is in, as one number with a bit for each set.
-- Here: the definitions, in the order of docs/metrics.md, and only here. Not here: counting (counts.sql).
-- View: renewed (renewals.sql or without_renewals.sql). Variables: snapshot_date, carries_dates (whether a table needs
-- more than counts: otherwise the columns that only such tables read are null, which takes no time).

-- One bit each, 63 at most. Rows of the same course with the same bits are counted once: a million rows have some hundred
-- of them.
SET VARIABLE bits = [
    'all', 'completed', 'ever_completed', 'lapsed', 'timed_out', 'finished', 'started', 'open', 'open_started',
    'not_started', 'dropped_early', 'eligible', 'eligible_started', 'superseded',
    'due', 'on_time', 'late', 'due_undated', 'due_open', 'due_failed', 'due_withdrawn', 'due_expired', 'due_unknown',
    'overdue', 'overdue_dated', 'open_dated',
    'required', 'required_completed', 'required_open', 'required_not_due', 'mandatory_withdrawn',
    'assigned', 'enrolled', 'in_progress', 'status_completed', 'passed', 'failed', 'withdrawn', 'expired',
    'status_overdue', 'unknown',
    'began_in_28d', 'completed_in_28d', 'duration', 'faulty_duration',
    'carried', 'roster', 'reconstructed', 'unfamiliar_role',
    'due_known', 'mandatory_known', 'repeated', 'excluded_role', 'after_day',
    'dated', 'dated_by_rule', 'flagged_by_rule', 'due_by_rule', 'required_by_rule', 'excluded_by_rule',
    'watched', 'left'
];
CREATE TEMP MACRO bit_of(name) AS 1::BIGINT << (list_position(getvariable('bits'), name)::INT - 1);
CREATE TEMP MACRO bit_if(condition, name) AS CASE WHEN condition THEN bit_of(name) ELSE 0 END;
CREATE TEMP MACRO has(mask, name) AS mask & bit_of(name) <> 0;

CREATE TEMP MACRO is_due_by(day) AS coalesce(day <= getvariable('snapshot_date'), false);
CREATE TEMP MACRO is_in_28d(day) AS
    coalesce(day BETWEEN getvariable('snapshot_date') - 27 AND getvariable('snapshot_date'), false);

-- A day after the snapshot's does not count: what happened on it has not happened yet.
CREATE TEMP MACRO if_by_day_end(day) AS CASE WHEN day <= getvariable('snapshot_date') THEN day END;

-- A table, not a view: it is read many times. What is not in `all` counts nowhere: its bits say why.
CREATE TEMP TABLE classified AS
WITH sets AS (
    SELECT
        *,

        status IN ('completed', 'passed') AS in_completed,
        in_completed OR (completed_at IS NOT NULL AND status <> 'failed') AS in_ever_completed,
        status IN ('completed', 'passed', 'failed') AS in_finished,
        started_at IS NOT NULL
        OR completed_at IS NOT NULL
        OR coalesce(progress_percent > 0, false)
        OR coalesce(time_spent_seconds > 0, false)
        OR in_finished
        OR status = 'in_progress' AS in_started,
        status IN ('assigned', 'enrolled', 'in_progress', 'overdue') AS in_open,

        -- Withdrawn before it was overdue. A withdrawal without a date can't be shown to be in time.
        status = 'withdrawn' AND coalesce(updated_day <= due_day, false) AS withdrawn_in_time,
        status = 'withdrawn'
        AND NOT in_started
        AND (due_day IS NULL OR due_day > getvariable('snapshot_date') OR withdrawn_in_time) AS in_dropped_early,

        is_due_by(due_day) AND NOT withdrawn_in_time AS in_due,
        -- Due, and completed at some time. An open enrollment is being renewed: it is neither on time nor late.
        in_due AND in_ever_completed AND NOT in_open AS due_and_done,
        in_open AND NOT in_superseded AND (in_due OR status = 'overdue') AS in_overdue,

        coalesce(is_mandatory, false) AND NOT in_superseded AND status <> 'withdrawn' AS in_required,

        -- Open enrollments of which someone may have to take care, and those that ended without a completion.
        in_all AND in_open AND NOT in_superseded AS is_watched,
        in_all AND NOT in_ever_completed AND status IN ('failed', 'withdrawn', 'expired') AS in_left,

        -- Only for completed enrollments; negative if the dates contradict each other.
        CASE WHEN in_ever_completed THEN completed_day - began_day END AS days_to_complete
    FROM renewed
)

SELECT
    user_id,
    course_id,
    CASE WHEN in_all THEN user_name END AS user_name,
    CASE WHEN in_all THEN course_title END AS course_title,
    CASE WHEN in_all THEN fetched_at END AS fetched_at,
    CASE WHEN in_all AND in_ever_completed THEN completed_at END AS last_completed_at,
    CASE WHEN in_all THEN days_to_complete END AS days_to_complete,
    CASE WHEN in_all AND in_open THEN progress_percent END AS open_progress,

    -- for cohorts, curves and attention
    CASE WHEN getvariable('carries_dates') AND in_all THEN began_day END AS began_day,
    CASE WHEN getvariable('carries_dates') AND in_left THEN coalesce(completed_day, updated_day) END AS left_day,
    CASE WHEN getvariable('carries_dates') AND (is_watched OR (in_left AND completed_day IS NULL)) THEN last_activity_at END
        AS last_activity_at,
    CASE WHEN getvariable('carries_dates') AND is_watched THEN due_day END AS open_due_day,
    CASE WHEN getvariable('carries_dates') AND is_watched THEN opens_day END AS opens_day,
    CASE WHEN getvariable('carries_dates') AND is_watched THEN enrollment_id END AS open_enrollment_id,

    CASE WHEN in_all THEN score END AS score,
    CASE WHEN in_all THEN time_spent_seconds END AS time_spent_seconds,
    CASE WHEN in_all THEN faulty_dates END AS faulty_dates,
    CASE WHEN in_all THEN sentinel_dates END AS sentinel_dates,
    CASE
        WHEN has_excluded_role THEN bit_of('excluded_role')
        WHEN has_excluded_learner THEN bit_of('excluded_by_rule')
        WHEN began_later THEN bit_of('after_day')
        ELSE
            bit_of('all')
            + bit_if(in_completed, 'completed')
            + bit_if(in_ever_completed, 'ever_completed')
            + bit_if(in_ever_completed AND status = 'expired', 'lapsed')
            + bit_if(status = 'expired' AND NOT in_ever_completed, 'timed_out')
            + bit_if(in_finished, 'finished')
            + bit_if(in_started, 'started')
            + bit_if(in_open, 'open')
            + bit_if(in_open AND in_started, 'open_started')
            + bit_if(in_open AND NOT in_started, 'not_started')
            + bit_if(in_dropped_early, 'dropped_early')
            + bit_if(NOT in_dropped_early, 'eligible')
            + bit_if(NOT in_dropped_early AND in_started, 'eligible_started')
            + bit_if(in_superseded, 'superseded')

            + bit_if(in_due, 'due')
            + bit_if(due_and_done AND coalesce(completed_day <= due_day, false), 'on_time')
            + bit_if(due_and_done AND coalesce(completed_day > due_day, false), 'late')
            + bit_if(due_and_done AND completed_day IS NULL, 'due_undated')
            + bit_if(in_due AND in_open, 'due_open')
            + bit_if(in_due AND NOT in_ever_completed AND status = 'failed', 'due_failed')
            + bit_if(in_due AND NOT in_ever_completed AND status = 'withdrawn', 'due_withdrawn')
            + bit_if(in_due AND NOT in_ever_completed AND status = 'expired', 'due_expired')
            + bit_if(in_due AND NOT in_ever_completed AND status = 'unknown', 'due_unknown')
            + bit_if(in_overdue, 'overdue')
            + bit_if(in_overdue AND due_day IS NOT NULL, 'overdue_dated')
            + bit_if(in_open AND NOT in_superseded AND due_day IS NOT NULL, 'open_dated')

            + bit_if(in_required, 'required')
            + bit_if(in_required AND in_completed, 'required_completed')
            + bit_if(in_required AND NOT in_completed, 'required_open')
            -- Not yet due requires a due day in the future: without one, nothing shows that there is time left.
            + bit_if(
                in_required AND in_open AND status <> 'overdue' AND coalesce(due_day > getvariable('snapshot_date'), false),
                'required_not_due'
            )
            + bit_if(coalesce(is_mandatory, false) AND NOT in_superseded AND status = 'withdrawn', 'mandatory_withdrawn')

            + bit_if(status = 'assigned', 'assigned')
            + bit_if(status = 'enrolled', 'enrolled')
            + bit_if(status = 'in_progress', 'in_progress')
            + bit_if(status = 'completed', 'status_completed')
            + bit_if(status = 'passed', 'passed')
            + bit_if(status = 'failed', 'failed')
            + bit_if(status = 'withdrawn', 'withdrawn')
            + bit_if(status = 'expired', 'expired')
            + bit_if(status = 'overdue', 'status_overdue')
            + bit_if(status = 'unknown', 'unknown')

            + bit_if(is_in_28d(began_day), 'began_in_28d')
            + bit_if(is_in_28d(completed_day) AND in_ever_completed, 'completed_in_28d')
            + bit_if(days_to_complete >= 0, 'duration')
            + bit_if(days_to_complete < 0, 'faulty_duration')
            + bit_if(source = 'carried', 'carried')
            + bit_if(source = 'roster', 'roster')
            + bit_if(source = 'reconstructed', 'reconstructed')
            + bit_if(has_unfamiliar_role, 'unfamiliar_role')

            + bit_if(due_day IS NOT NULL OR status = 'overdue', 'due_known')
            + bit_if(is_mandatory IS NOT NULL, 'mandatory_known')
            + bit_if(due_day IS NOT NULL, 'dated')
            + bit_if(due_by_rule, 'dated_by_rule')
            + bit_if(mandatory_by_rule, 'flagged_by_rule')
            + bit_if(in_due AND due_by_rule, 'due_by_rule')
            + bit_if(in_required AND mandatory_by_rule, 'required_by_rule')
            + bit_if(in_repeated, 'repeated')
            + bit_if(completed_later, 'after_day')

            + bit_if(is_watched, 'watched')
            + bit_if(in_left, 'left')
    END AS mask
FROM sets;

-- The days in UTC on which enrollments that are not completed were active.
CREATE TEMP VIEW activity_utc_days AS
SELECT DISTINCT utc_day_of(last_activity_at) AS utc_day
FROM classified
WHERE last_activity_at IS NOT NULL
ORDER BY utc_day;
