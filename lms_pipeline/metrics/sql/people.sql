-- Counts of learners, of (learner, course) pairs, and of rows that are in no set.
-- Here: these counts, for the rows of counts.sql. Not here: counts of enrollments (counts.sql), rates (rates.sql).
-- Tables and views: classified (classify.sql), at_day_end (enrollments.sql).

-- A learner may have several enrollments in a course: a pair counts once.
CREATE TEMP VIEW pairs AS
SELECT
    row_of(course_id, user_id) AS row_id,
    user_id,
    course_id,
    bool_or(in_eligible) AS is_eligible,
    bool_or(in_ever_completed) AS is_ever_completed,
    bool_or(in_required) AS has_required,
    bool_or(in_required AND NOT in_completed) AS has_required_open
FROM classified
GROUP BY ALL;

CREATE TEMP VIEW learners AS
SELECT
    row_id,
    user_id,
    count(*) FILTER (is_eligible) AS pairs_eligible,
    count(*) FILTER (is_ever_completed) AS pairs_ever_completed,
    bool_or(has_required) AS has_required,
    bool_or(has_required_open) AS has_required_open
FROM pairs
GROUP BY ALL;

CREATE TEMP VIEW people AS
SELECT
    row_id,
    count(*) AS learners,
    coalesce(sum(pairs_eligible), 0) AS n_pairs_eligible,
    coalesce(sum(pairs_ever_completed), 0) AS n_pairs_ever_completed,
    count(*) FILTER (has_required) AS n_learners_required,
    count(*) FILTER (has_required AND NOT has_required_open) AS n_learners_compliant
FROM learners
GROUP BY GROUPING SETS ((row_id), ())
HAVING is_row_of_table(grouping(row_id));

-- A table, not a view: each metric table reads it.
CREATE TEMP TABLE left_out AS
SELECT course_id, user_id, has_excluded_role
FROM at_day_end
WHERE has_excluded_role OR began_later OR completed_later;

CREATE TEMP VIEW excluded AS
SELECT
    row_of(course_id, user_id) AS row_id,
    count(*) FILTER (NOT has_excluded_role) AS after_day,
    count(*) FILTER (has_excluded_role) AS left_out_by_role
FROM left_out
GROUP BY GROUPING SETS ((row_id), ())
HAVING is_row_of_table(grouping(row_id));
