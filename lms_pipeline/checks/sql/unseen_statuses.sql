-- Statuses that are not documented, as served. Parameters: max_rows. Table: summary.
SELECT
    unseen_status AS status_raw,
    sum(enrollments)::BIGINT AS enrollments,
    (sum(sum(enrollments)) OVER ())::BIGINT AS of_all
FROM summary
WHERE unseen_status IS NOT NULL
GROUP BY ALL
ORDER BY enrollments DESC, status_raw
LIMIT $max_rows
