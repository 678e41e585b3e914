-- How many enrollments need someone, by reason over the shown courses, and by course and reason.
-- $path: a file of `attention`; $shown: the ids of the courses that may be shown.
SELECT
    grouping(course_id) = 1 AS is_total,
    course_id,
    reason,
    count(*) AS enrollments,
    count(DISTINCT user_id) AS learners
FROM read_parquet($path)
WHERE list_contains($shown, course_id)
GROUP BY GROUPING SETS ((reason), (course_id, reason))
ORDER BY ALL
