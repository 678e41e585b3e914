-- Where the enrollments come from, and how old the oldest answer of each kind is.
SELECT source, count(*) AS enrollments, min(fetched_at) AS oldest_fetch
FROM published
GROUP BY ALL
ORDER BY source
