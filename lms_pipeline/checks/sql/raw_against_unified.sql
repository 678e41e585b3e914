-- Each pair of learner and course in raw or unified, with a judgement: the number of pairs and the first of each judgement.
-- The status in raw is compared if it is a known word. Pairs with several rows are not compared: nothing shows which raw
-- row belongs to which enrollment.
-- A raw record in Truto's raw format that does not name learner and course belongs to the enrollment whose id it has.
-- The judgement "unplaced" counts those that belong to none; "enrollments" counts the rows behind the pairs.
-- Table: raw_statuses, from raw_statuses.sql. Parameters: completed, open (statuses), max_rows.
WITH identified AS (
    SELECT enrollment_id, any_value(user_id) AS user_id, any_value(course_id) AS course_id
    FROM published
    WHERE enrollment_id IS NOT NULL
    GROUP BY enrollment_id
    HAVING count(*) = 1
),

placed AS (
    SELECT
        coalesce(received.user_id, identified.user_id) AS user_id,
        coalesce(received.course_id, identified.course_id) AS course_id,
        source,
        raw_status
    FROM raw_statuses AS received
    LEFT JOIN identified
        ON
            identified.enrollment_id = received.enrollment_id
            AND coalesce(received.user_id = identified.user_id, TRUE)
            AND coalesce(received.course_id = identified.course_id, TRUE)
),

raw AS (
    SELECT user_id, course_id, count(*) AS row_count, any_value(raw_status) AS raw_status
    FROM placed
    WHERE user_id IS NOT NULL AND course_id IS NOT NULL
    GROUP BY ALL
),

unified AS (
    SELECT user_id, course_id, count(*) AS row_count, any_value(status) AS status
    FROM published
    GROUP BY ALL
),

paired AS (
    SELECT
        user_id,
        course_id,
        raw.row_count AS rows_raw,
        unified.row_count AS rows_unified,
        raw_status,
        status,
        replace(replace(lower(trim(raw_status)), '_', ' '), '-', ' ') AS word
    FROM raw
    FULL JOIN unified USING (user_id, course_id)
),

judged AS (
    SELECT
        user_id,
        course_id,
        coalesce(rows_unified, rows_raw) AS row_count,
        left(raw_status, 40) AS raw_status,
        status,
        CASE
            WHEN rows_raw IS NULL THEN 'unified_alone'
            WHEN rows_unified IS NULL THEN 'raw_alone'
            WHEN rows_raw > 1 OR rows_unified > 1 THEN 'not_compared'
            WHEN list_contains($completed, word) AND status IN ('assigned', 'enrolled', 'in_progress', 'overdue')
                THEN 'completed_in_raw_alone'
            WHEN list_contains($open, word) AND status IN ('completed', 'passed') THEN 'completed_in_unified_alone'
            WHEN list_contains($completed, word) OR list_contains($open, word) THEN 'agrees'
            ELSE 'not_compared'
        END AS judgement
    FROM paired
)

SELECT
    judgement,
    user_id,
    course_id,
    raw_status,
    status,
    count(*) OVER (PARTITION BY judgement) AS pairs,
    sum(row_count) OVER (PARTITION BY judgement) AS enrollments
FROM judged
QUALIFY row_number() OVER (PARTITION BY judgement ORDER BY user_id, course_id) <= $max_rows
UNION ALL
SELECT 'unplaced', NULL, NULL, NULL, NULL, count(*), count(*)
FROM placed
WHERE source = 'raw' AND (user_id IS NULL OR course_id IS NULL)
ORDER BY judgement, user_id, course_id
