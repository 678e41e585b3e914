-- How many of the dropped rows have the same content as the row that replaces them, and how many another.
WITH content AS (
    SELECT position, md5(to_json(content)) AS hash
    FROM (
        SELECT
            staged._position AS position,
            row(*COLUMNS(lambda name: name NOT IN ('_key', '_position', 'fetched_at'))) AS content
        FROM staged
        WHERE staged._position IN (SELECT _position FROM dropped UNION SELECT kept FROM dropped)
    )
)

SELECT
    count(*) FILTER (WHERE removed.hash = retained.hash) AS identical,
    count(*) FILTER (WHERE removed.hash <> retained.hash) AS conflicting
FROM dropped
JOIN content AS removed ON removed.position = dropped._position
JOIN content AS retained ON retained.position = dropped.kept
