-- What a person would write for cohort_completion. Parameter: snapshot_date.
WITH counts AS (
    SELECT
        course_id,
        date_trunc('month', began_day)::DATE AS cohort,
        CASE WHEN ever_completed THEN datediff('month', began_day, completed_day) END AS months,
        is_left_out,
        count(*) AS n,
        max(course_title) AS course_title
    FROM enrollments
    GROUP BY ALL
),
titles AS (
    SELECT course_id, max(course_title) AS course_title FROM counts GROUP BY course_id
),
scoped AS (
    SELECT 'course' AS scope, course_id, cohort, months, is_left_out, n FROM counts
    UNION ALL
    SELECT 'account', NULL, cohort, months, is_left_out, sum(n) FROM counts GROUP BY ALL
),
left_outs AS (
    SELECT scope, course_id, coalesce(sum(n) FILTER (is_left_out), 0) AS left_out FROM scoped GROUP BY ALL
),
cohorts AS (
    SELECT scope, course_id, cohort, sum(n) AS enrolled FROM scoped WHERE NOT is_left_out GROUP BY ALL
),
grid AS (
    SELECT *, cohort + to_months(months_since::INT + 1) <= $snapshot_date + 1 AS is_whole
    FROM (
        SELECT *, unnest(range(least(24, datediff('month', cohort, $snapshot_date)) + 1)) AS months_since FROM cohorts
    )
),
ends AS (
    SELECT scope, course_id, cohort, months, sum(n) AS n
    FROM scoped
    WHERE NOT is_left_out AND months IS NOT NULL
    GROUP BY ALL
)
SELECT
    grid.scope,
    grid.course_id,
    course_title,
    grid.cohort,
    months_since,
    enrolled::BIGINT AS enrolled,
    coalesce(sum(n) OVER (PARTITION BY grid.scope, grid.course_id, grid.cohort ORDER BY months_since), 0)::BIGINT
        AS completed,
    CASE WHEN grid.is_whole THEN completed / enrolled END AS rate,
    grid.is_whole,
    left_out::BIGINT AS left_out
FROM grid
LEFT JOIN ends
ON ends.scope = grid.scope
AND ends.course_id IS NOT DISTINCT FROM grid.course_id
AND ends.cohort = grid.cohort
AND ends.months = months_since
JOIN left_outs ON left_outs.scope = grid.scope AND left_outs.course_id IS NOT DISTINCT FROM grid.course_id
LEFT JOIN titles ON titles.course_id = grid.course_id
ORDER BY ALL
