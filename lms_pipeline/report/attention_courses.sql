-- The courses where most enrollments need attention, each with its enrollments by reason, and how many courses there are.
-- $paths: files of `attention`; $limit: rows at most.
SELECT
    account_id,
    course_id,
    max(course_title) AS course_title,
    histogram(reason) AS reasons,
    count(*) OVER () AS courses
FROM read_parquet($paths, hive_partitioning = true, hive_types_autocast = false)
GROUP BY account_id, course_id
ORDER BY count(*) DESC, account_id, course_id
LIMIT $limit
