-- How many enrollments each rule leaves out, and how many its courses have.
-- Here: each rule by itself, for `lms-pipeline rules`. Not here: what is left out of the figures (rules.sql).
-- Tables: exclusions (number, course_id, learners, roles), unified_columns, empty. Variable: path.
SELECT
    number,
    count(*) FILTER (
        list_contains(learners, user_id) OR coalesce(list_contains(roles, normalize_role(role)), false)
    ) AS left_out,
    count(*) AS enrollments
FROM (
    FROM unified_columns
    UNION ALL BY NAME
    FROM read_parquet(getvariable('path'), hive_partitioning = false)
)
JOIN exclusions USING (course_id)
GROUP BY number
