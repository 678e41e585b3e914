-- How many of the dropped rows have the same content as the row that replaces them, and how many another.
-- Texts are hashed as they are: as JSON, a text of 30 MB would take all of DuckDB's memory.
WITH hashed AS (
    SELECT
        served._position AS position,
        CASE
            WHEN ends_with(typeof(COLUMNS(* EXCLUDE (_key, _position, fetched_at))), '[]')
                THEN md5(to_json(COLUMNS(* EXCLUDE (_key, _position, fetched_at))))
            ELSE md5(COLUMNS(* EXCLUDE (_key, _position, fetched_at))::VARCHAR)
        END
    FROM served
    WHERE served._position IN (SELECT _position FROM dropped UNION SELECT kept FROM dropped)
),

content AS (
    SELECT position, md5(to_json(row(*COLUMNS(* EXCLUDE (position))))) AS hash
    FROM hashed
)

SELECT
    count(*) FILTER (WHERE removed.hash = retained.hash) AS identical,
    count(*) FILTER (WHERE removed.hash <> retained.hash) AS conflicting
FROM dropped
JOIN content AS removed ON removed.position = dropped._position
JOIN content AS retained ON retained.position = dropped.kept
