-- Why records were rejected. Parameters: path, most.
SELECT reason, field, count(*) AS records
FROM read_parquet($path, hive_partitioning = false)
GROUP BY ALL
ORDER BY records DESC, reason, field
LIMIT $most
