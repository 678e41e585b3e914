-- The sums of two completion tables side by side. Parameters: other.
FROM (
    SELECT
        'here' AS side,
        sum(n_all)::BIGINT AS n_all,
        sum(n_completed)::BIGINT AS n_completed,
        sum(n_eligible)::BIGINT AS n_eligible
    FROM published
)
UNION ALL
SELECT
    'there' AS side,
    coalesce(sum(n_all), 0)::BIGINT,
    coalesce(sum(n_completed), 0)::BIGINT,
    coalesce(sum(n_eligible), 0)::BIGINT
FROM read_parquet($other, hive_partitioning = false)
ORDER BY side
