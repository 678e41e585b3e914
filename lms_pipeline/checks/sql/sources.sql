-- The number of enrollments by source, and the time of the oldest response of each.
SELECT source, count(*) AS enrollments, min(fetched_at) AS oldest_fetch
FROM published
GROUP BY ALL
ORDER BY source
