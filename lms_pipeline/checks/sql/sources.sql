-- Where the enrollments come from, and how old the oldest answer of each kind is. Parameters: path.
SELECT source, count(*) AS enrollments, min(fetched_at) AS oldest_fetch
FROM read_parquet($path, hive_partitioning = false)
GROUP BY ALL
ORDER BY source
