-- The cohorts of accounts added up.
-- $paths: files of `cohort_completion` of one day, of which a month has ended for all or for none.
SELECT
    cohort,
    months_since,
    sum(enrolled) AS enrolled,
    sum(completed) AS completed,
    bool_and(is_whole) AS is_whole
FROM read_parquet($paths)
WHERE scope = 'account'
GROUP BY cohort, months_since
ORDER BY cohort, months_since
