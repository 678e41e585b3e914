-- The cohorts of accounts added up, and how many enrollments are in none.
-- $paths: files of `cohort_completion` of one day, of which a month has ended for all or for none.
WITH of_accounts AS (
    SELECT *
    FROM read_parquet($paths, filename = true)
    WHERE scope = 'account'
),

outside AS (
    SELECT max(left_out) AS left_out
    FROM of_accounts
    GROUP BY filename
)

SELECT
    cohort,
    months_since,
    sum(enrolled) AS enrolled,
    sum(completed) AS completed,
    bool_and(is_whole) AS is_whole,
    (SELECT sum(left_out) FROM outside) AS left_out
FROM of_accounts
GROUP BY cohort, months_since
ORDER BY cohort, months_since
