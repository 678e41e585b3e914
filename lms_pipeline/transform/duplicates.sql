-- How many of the dropped rows tell the same as the row kept instead, and how many something else.
WITH content AS (
    SELECT position, md5(to_json(told)) AS told
    FROM (
        SELECT
            waiting._position AS position,
            row(*COLUMNS(lambda name: name NOT IN ('_key', '_position', 'fetched_at'))) AS told
        FROM waiting
        WHERE waiting._position IN (SELECT _position FROM dropped UNION SELECT kept FROM dropped)
    )
)

SELECT
    count(*) FILTER (WHERE loser.told = winner.told) AS identical,
    count(*) FILTER (WHERE loser.told <> winner.told) AS conflicting
FROM dropped
JOIN content AS loser ON loser.position = dropped._position
JOIN content AS winner ON winner.position = dropped.kept
