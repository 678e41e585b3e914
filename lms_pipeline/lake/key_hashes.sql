-- The number of different hashes of a key in a file. Parameters: path, key (its columns).
SELECT count(*)
FROM (
    SELECT DISTINCT hash(*COLUMNS(lambda name: list_contains($key, name)))
    FROM read_parquet($path, hive_partitioning = false)
)
