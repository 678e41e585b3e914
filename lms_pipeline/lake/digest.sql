-- The two halves of the sum over the 128-bit hashes of all rows of "added", but for when they were fetched.
-- Halves, because a sum of 128-bit numbers overflows 128 bits.
WITH hashed AS (
    SELECT md5_number(to_json(row)) AS hash
    FROM (SELECT COLUMNS(lambda name: name <> 'fetched_at') FROM added) AS row
)
SELECT
    coalesce(sum((hash >> 64)::HUGEINT), 0) AS high,
    coalesce(sum((hash & 18446744073709551615)::HUGEINT), 0) AS low
FROM hashed
