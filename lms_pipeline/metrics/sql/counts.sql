-- Counts of enrollments by row: every set, every status, and other measures.
-- Here: one line per column, and the row that it belongs to. Not here: what a set is (classify.sql), people (people.sql).
-- Tables: classified (classify.sql). Variables: one_row_per, snapshot_date, learner_roles.

-- The course or learner that a row of the table is about; null for the account, which is one row.
CREATE TEMP MACRO row_of(course_id, user_id) AS
    CASE getvariable('one_row_per') WHEN 'course' THEN course_id WHEN 'learner' THEN user_id END;

-- The empty grouping is the account's: it has a row even if there is no enrollment.
CREATE TEMP MACRO is_row_of_table(grouping_of_row) AS (grouping_of_row = 1) = (getvariable('one_row_per') = 'account');

CREATE TEMP MACRO in_last_28_days(day) AS
    day BETWEEN getvariable('snapshot_date') - 27 AND getvariable('snapshot_date');

CREATE TEMP VIEW counts AS
SELECT
    row_of(course_id, user_id) AS row_id,
    arg_max(course_title, (fetched_at, course_title)) AS course_title,
    arg_max(user_name, (fetched_at, user_name)) AS user_name,
    max(completed_at) FILTER (in_ever_completed) AS last_completed_at,

    count(*) FILTER (in_all) AS n_all,
    count(*) FILTER (in_completed) AS n_completed,
    count(*) FILTER (in_ever_completed) AS n_ever_completed,
    count(*) FILTER (in_lapsed) AS n_lapsed,
    count(*) FILTER (in_timed_out) AS n_timed_out,
    count(*) FILTER (in_finished) AS n_finished,
    count(*) FILTER (in_started) AS n_started,
    count(*) FILTER (in_open) AS n_open,
    count(*) FILTER (in_open_started) AS n_open_started,
    count(*) FILTER (in_not_started) AS n_not_started,
    count(*) FILTER (in_dropped_early) AS n_dropped_early,
    count(*) FILTER (in_eligible) AS n_eligible,
    count(*) FILTER (in_eligible_started) AS n_eligible_started,
    count(*) FILTER (in_superseded) AS n_superseded,

    count(*) FILTER (in_due) AS n_due,
    count(*) FILTER (in_on_time) AS n_on_time,
    count(*) FILTER (in_late) AS n_late,
    count(*) FILTER (in_due_undated) AS n_due_undated,
    count(*) FILTER (in_due_open) AS n_due_open,
    count(*) FILTER (in_due_failed) AS n_due_failed,
    count(*) FILTER (in_due_withdrawn) AS n_due_withdrawn,
    count(*) FILTER (in_due_expired) AS n_due_expired,
    count(*) FILTER (in_due_unknown) AS n_due_unknown,
    count(*) FILTER (in_overdue) AS n_overdue,
    count(*) FILTER (in_overdue_dated) AS n_overdue_dated,
    count(*) FILTER (in_open_dated) AS n_open_dated,

    count(*) FILTER (in_required) AS n_required,
    count(*) FILTER (in_required_completed) AS n_required_completed,
    count(*) FILTER (in_required_not_due) AS n_required_not_due,
    count(*) FILTER (in_mandatory_withdrawn) AS n_mandatory_withdrawn,

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

    count(*) FILTER (in_last_28_days(began_day)) AS enrolled_28d,
    count(*) FILTER (in_last_28_days(completed_day) AND in_ever_completed) AS completed_28d,
    quantile_cont(days_to_complete, 0.5) FILTER (days_to_complete >= 0) AS days_to_complete_p50,
    quantile_cont(days_to_complete, 0.9) FILTER (days_to_complete >= 0) AS days_to_complete_p90,
    count(*) FILTER (days_to_complete >= 0) AS days_to_complete_n,
    count(*) FILTER (days_to_complete < 0) AS faulty_durations,
    finite(avg(progress_percent) FILTER (in_open)) AS progress_mean,
    count(progress_percent) FILTER (in_open) AS progress_n,
    finite(avg(score)) AS score_mean,
    count(score) AS score_n,
    coalesce(sum(time_spent_seconds), 0) / 3600 AS time_spent_hours,
    count(*) FILTER (source = 'carried') AS rows_carried,
    count(*) FILTER (source = 'roster') AS rows_roster,
    count(*) FILTER (source = 'reconstructed') AS rows_reconstructed,
    count(*) FILTER (role IS NOT NULL AND NOT list_contains(getvariable('learner_roles'), role)) AS rows_unfamiliar_role,
    min(fetched_at) AS oldest_fetched_at,
    coalesce(sum(faulty_dates), 0) AS faulty_dates,
    coalesce(sum(sentinel_dates), 0) AS sentinel_dates
FROM classified
GROUP BY GROUPING SETS ((row_id), ())
HAVING is_row_of_table(grouping(row_id));
