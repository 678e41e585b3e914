-- Counts of enrollments by row: every set, every status, and other measures.
-- Here: one line per column, and the row that it belongs to. Not here: what a set is (classify.sql), people (people.sql).
-- Table: classified (classify.sql).

-- The account's and the courses' rows are sums of these, which are few. `fsum` adds floats with little error.
CREATE TEMP TABLE course_sums AS
SELECT
    course_id,
    mask,
    count(*) AS n,
    max(last_completed_at) AS last_completed_at,
    fsum(open_progress) AS progress_sum,
    count(open_progress) AS progress_n,
    fsum(score) AS score_sum,
    count(score) AS score_n,
    sum(time_spent_seconds) AS seconds,
    count(time_spent_seconds) AS seconds_n,
    min(fetched_at) AS oldest_fetched_at,
    sum(faulty_dates) AS faulty_dates,
    sum(sentinel_dates) AS sentinel_dates
FROM classified
GROUP BY ALL;

-- What is known of this account on this day: a field that no enrollment has is not known.
CREATE TEMP TABLE known AS
SELECT
    coalesce(bool_or(has(mask, 'due_known')), false) AS knows_due,
    coalesce(bool_or(has(mask, 'mandatory_known')), false) AS knows_mandatory,
    coalesce(bool_or(score_n > 0), false) AS knows_score,
    coalesce(bool_or(seconds_n > 0), false) AS knows_time,
    getvariable('reports_withdrawn') AS knows_withdrawn
FROM course_sums;

CREATE TEMP MACRO total(number) AS coalesce(sum(number), 0)::BIGINT;
CREATE TEMP MACRO count_of(n, mask, name) AS total(CASE WHEN has(mask, name) THEN n END);

-- Whose values those of a course are.
CREATE TEMP MACRO name_source(n_values, n_by_rule) AS CASE
    WHEN n_values = 0 THEN NULL
    WHEN n_by_rule = 0 THEN 'lms'
    WHEN n_by_rule = n_values THEN 'rule'
    ELSE 'mixed'
END;

-- The latest title of each course; the greatest of several of that time.
CREATE TEMP VIEW course_titles AS
SELECT course_id, arg_max(course_title, (latest_at, course_title)) AS course_title
FROM (SELECT course_id, course_title, max(fetched_at) AS latest_at FROM classified GROUP BY ALL)
GROUP BY course_id;

-- Which rows are computed: those of learners, except while summaries.sql runs.
SET VARIABLE counted_scopes = ['learner'];
CREATE TEMP MACRO is_counted(scope) AS list_contains(getvariable('counted_scopes'), scope);

CREATE TEMP VIEW counts AS
WITH
titles AS (
    SELECT course_id AS row_id, course_title
    FROM course_titles
    WHERE is_counted('course')
),

-- The latest name of each learner; the greatest of several of that time.
names AS (
    SELECT user_id AS row_id, arg_max(user_name, (latest_at, user_name)) AS user_name
    FROM (SELECT user_id, user_name, max(fetched_at) AS latest_at FROM classified GROUP BY ALL)
    WHERE is_counted('learner')
    GROUP BY row_id
),

durations AS (
    SELECT
        course_id AS row_id,
        quantile_cont(days_to_complete, 0.5) AS days_to_complete_p50,
        quantile_cont(days_to_complete, 0.9) AS days_to_complete_p90
    FROM classified
    WHERE days_to_complete >= 0 AND (is_counted('course') OR is_counted('account'))
    GROUP BY GROUPING SETS ((course_id), ())
),

sources AS (
    SELECT
        course_id AS row_id,
        name_source(count_of(n, mask, 'dated'), count_of(n, mask, 'dated_by_rule')) AS due_source,
        name_source(count_of(n, mask, 'mandatory_known'), count_of(n, mask, 'flagged_by_rule')) AS mandatory_source
    FROM course_sums
    WHERE is_counted('course')
    GROUP BY row_id
),

-- The parts that add up to a row. The account has a row even if there is no enrollment.
parts AS (
    SELECT 'course' AS scope, course_id AS row_id, * EXCLUDE course_id
    FROM course_sums
    WHERE is_counted('course')
    UNION ALL BY NAME
    SELECT 'account' AS scope, * EXCLUDE course_id
    FROM course_sums
    WHERE is_counted('account')
    UNION ALL BY NAME
    SELECT 'account' AS scope, 0 AS mask
    WHERE is_counted('account')
    UNION ALL BY NAME
    SELECT
        'learner' AS scope, user_id AS row_id, mask, 1 AS n, last_completed_at,
        open_progress AS progress_sum, (open_progress IS NOT NULL)::INT AS progress_n,
        score AS score_sum, (score IS NOT NULL)::INT AS score_n,
        time_spent_seconds AS seconds, fetched_at AS oldest_fetched_at, faulty_dates, sentinel_dates
    FROM classified
    WHERE is_counted('learner')
),

sums AS (
    SELECT
        scope,
        row_id,
        max(last_completed_at) AS last_completed_at,

        count_of(n, mask, 'all') AS n_all,
        count_of(n, mask, 'completed') AS n_completed,
        count_of(n, mask, 'ever_completed') AS n_ever_completed,
        count_of(n, mask, 'lapsed') AS n_lapsed,
        count_of(n, mask, 'timed_out') AS n_timed_out,
        count_of(n, mask, 'finished') AS n_finished,
        count_of(n, mask, 'started') AS n_started,
        count_of(n, mask, 'open') AS n_open,
        count_of(n, mask, 'open_started') AS n_open_started,
        count_of(n, mask, 'not_started') AS n_not_started,
        count_of(n, mask, 'dropped_early') AS n_dropped_early,
        count_of(n, mask, 'eligible') AS n_eligible,
        count_of(n, mask, 'eligible_started') AS n_eligible_started,
        count_of(n, mask, 'superseded') AS n_superseded,

        count_of(n, mask, 'due') AS n_due,
        count_of(n, mask, 'on_time') AS n_on_time,
        count_of(n, mask, 'late') AS n_late,
        count_of(n, mask, 'due_undated') AS n_due_undated,
        count_of(n, mask, 'due_open') AS n_due_open,
        count_of(n, mask, 'due_failed') AS n_due_failed,
        count_of(n, mask, 'due_withdrawn') AS n_due_withdrawn,
        count_of(n, mask, 'due_expired') AS n_due_expired,
        count_of(n, mask, 'due_unknown') AS n_due_unknown,
        count_of(n, mask, 'overdue') AS n_overdue,
        count_of(n, mask, 'overdue_dated') AS n_overdue_dated,
        count_of(n, mask, 'open_dated') AS n_open_dated,

        count_of(n, mask, 'required') AS n_required,
        count_of(n, mask, 'required_completed') AS n_required_completed,
        count_of(n, mask, 'required_not_due') AS n_required_not_due,
        count_of(n, mask, 'mandatory_withdrawn') AS n_mandatory_withdrawn,

        count_of(n, mask, 'assigned') AS status_assigned,
        count_of(n, mask, 'enrolled') AS status_enrolled,
        count_of(n, mask, 'in_progress') AS status_in_progress,
        count_of(n, mask, 'status_completed') AS status_completed,
        count_of(n, mask, 'passed') AS status_passed,
        count_of(n, mask, 'failed') AS status_failed,
        count_of(n, mask, 'withdrawn') AS status_withdrawn,
        count_of(n, mask, 'expired') AS status_expired,
        count_of(n, mask, 'status_overdue') AS status_overdue,
        count_of(n, mask, 'unknown') AS status_unknown,

        count_of(n, mask, 'began_in_28d') AS enrolled_28d,
        count_of(n, mask, 'completed_in_28d') AS completed_28d,
        count_of(n, mask, 'duration') AS days_to_complete_n,
        count_of(n, mask, 'faulty_duration') AS faulty_durations,
        finite(fsum(progress_sum) / nullif(sum(progress_n), 0)) AS progress_mean,
        total(progress_n) AS progress_n,
        finite(fsum(score_sum) / nullif(sum(score_n), 0)) AS score_mean,
        total(score_n) AS score_n,
        coalesce(sum(seconds), 0) / 3600 AS time_spent_hours,
        count_of(n, mask, 'carried') AS rows_carried,
        count_of(n, mask, 'roster') AS rows_roster,
        count_of(n, mask, 'reconstructed') AS rows_reconstructed,
        count_of(n, mask, 'unfamiliar_role') AS rows_unfamiliar_role,
        min(oldest_fetched_at) AS oldest_fetched_at,
        total(faulty_dates) AS faulty_dates,
        total(sentinel_dates) AS sentinel_dates,
        count_of(n, mask, 'after_day') AS after_day,
        count_of(n, mask, 'excluded_role') AS left_out_by_role,

        count_of(n, mask, 'due_by_rule') AS n_due_by_rule,
        count_of(n, mask, 'required_by_rule') AS n_required_by_rule,
        count_of(n, mask, 'excluded_by_rule') AS left_out_by_rule
    FROM parts
    GROUP BY scope, row_id
    HAVING n_all > 0 OR scope = 'account'
)

SELECT sums.*, course_title, user_name, due_source, mandatory_source, days_to_complete_p50, days_to_complete_p90
FROM sums
LEFT JOIN titles ON sums.scope = 'course' AND titles.row_id = sums.row_id
LEFT JOIN names ON sums.scope = 'learner' AND names.row_id = sums.row_id
LEFT JOIN sources ON sums.scope = 'course' AND sources.row_id = sums.row_id
LEFT JOIN durations ON sums.scope <> 'learner' AND durations.row_id IS NOT DISTINCT FROM sums.row_id;
