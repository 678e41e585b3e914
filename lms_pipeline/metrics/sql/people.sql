-- What is counted otherwise than by enrollment: learners, (learner, course) pairs, and rows that are in no set.
-- Here: those counts, for the rows of counts.sql. Not here: counts by enrollment (counts.sql), divisions (rates.sql).
-- Views: sets (sets.sql), told (told.sql).

-- A learner may be enrolled in a course several times: a pair counts retakes once.
CREATE TEMP VIEW pairs AS
SELECT
    row_of(course_id, user_id) AS row_id,
    user_id,
    course_id,
    bool_or(in_eligible) AS is_eligible,
    bool_or(in_ever_completed) AS is_ever_completed,
    bool_or(in_required) AS has_required,
    bool_or(in_required AND NOT in_completed) AS has_required_open
FROM sets
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
HAVING is_wanted(grouping(row_id));

CREATE TEMP VIEW aside AS
SELECT
    row_of(course_id, user_id) AS row_id,
    count(*) FILTER (NOT other_role) AS after_day,
    count(*) FILTER (other_role) AS left_out_by_role
FROM told
WHERE other_role OR began_later OR completed_later
GROUP BY GROUPING SETS ((row_id), ())
HAVING is_wanted(grouping(row_id));
