-- Keys that several rows have, or that have a null. Parameters: key (its columns), max_rows.
WITH keyed AS (
    SELECT
        COLUMNS(lambda name: list_contains($key, name)),
        list_value(*COLUMNS(lambda name: list_contains($key, name))) AS parts,
        count(*) AS rows_with_it
    FROM published
    GROUP BY ALL
)

SELECT * EXCLUDE (parts)
FROM keyed
WHERE rows_with_it > 1 OR list_count(parts) < len(parts) -- list_count leaves out nulls
ORDER BY rows_with_it DESC, parts
LIMIT $max_rows
