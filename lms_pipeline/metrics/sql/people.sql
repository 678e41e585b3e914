-- Counts of learners and of (learner, course) pairs.
-- Here: these counts, for the rows of counts.sql. Not here: counts of enrollments (counts.sql), rates (rates.sql).
-- Table: classified (classify.sql). Macro: is_counted (counts.sql).

-- A learner may have several enrollments in a course: a pair counts once, and is in a set if one of them is.
CREATE TEMP VIEW pairs AS
SELECT user_id, course_id, mask
FROM classified
WHERE has(mask, 'all') AND NOT has(mask, 'repeated')
UNION ALL
SELECT user_id, course_id, bit_or(mask) AS mask
FROM classified
WHERE has(mask, 'all') AND has(mask, 'repeated')
GROUP BY user_id, course_id;

CREATE TEMP TABLE learners AS
SELECT
    user_id,
    count(*) FILTER (has(mask, 'eligible')) AS pairs_eligible,
    count(*) FILTER (has(mask, 'ever_completed')) AS pairs_ever_completed,
    bool_or(has(mask, 'required')) AS has_required,
    bool_or(has(mask, 'required_open')) AS has_required_open
FROM pairs
GROUP BY user_id;

CREATE TEMP VIEW people AS
SELECT
    'course' AS scope,
    course_id AS row_id,
    count(*) AS learners,
    count(*) FILTER (has(mask, 'eligible')) AS n_pairs_eligible,
    count(*) FILTER (has(mask, 'ever_completed')) AS n_pairs_ever_completed,
    count(*) FILTER (has(mask, 'required')) AS n_learners_required,
    count(*) FILTER (has(mask, 'required') AND NOT has(mask, 'required_open')) AS n_learners_compliant
FROM pairs
WHERE is_counted('course')
GROUP BY row_id
UNION ALL BY NAME
SELECT
    'account' AS scope,
    count(*) AS learners,
    sum(pairs_eligible)::BIGINT AS n_pairs_eligible,
    sum(pairs_ever_completed)::BIGINT AS n_pairs_ever_completed,
    count(*) FILTER (has_required) AS n_learners_required,
    count(*) FILTER (has_required AND NOT has_required_open) AS n_learners_compliant
FROM learners
WHERE is_counted('account')
UNION ALL BY NAME
SELECT
    'learner' AS scope,
    user_id AS row_id,
    1 AS learners,
    pairs_eligible AS n_pairs_eligible,
    pairs_ever_completed AS n_pairs_ever_completed,
    has_required::INT AS n_learners_required,
    (has_required AND NOT has_required_open)::INT AS n_learners_compliant
FROM learners
WHERE is_counted('learner');
