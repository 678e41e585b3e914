-- How many enrollments of the shown courses need attention, by account and reason.
-- $paths: files of `attention`; $accounts, $courses: of each shown course its account and its id.
WITH shown AS (
    SELECT unnest($accounts::VARCHAR []) AS account_id, unnest($courses::VARCHAR []) AS course_id
)

SELECT
    account_id,
    reason,
    count(*) AS enrollments,
    count(DISTINCT user_id) AS learners
FROM read_parquet($paths, hive_partitioning = true, hive_types_autocast = false)
SEMI JOIN shown USING (account_id, course_id)
GROUP BY account_id, reason
ORDER BY ALL
