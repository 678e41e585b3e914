-- The number of enrollments by source, and the time of the oldest response of each. Table: summary.
SELECT source, sum(enrollments)::BIGINT AS enrollments, min(oldest_fetch) AS oldest_fetch
FROM summary
GROUP BY ALL
ORDER BY source
