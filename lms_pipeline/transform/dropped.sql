-- The positions in "waiting" of rows that a later one with the same key replaces.
CREATE TEMP TABLE dropped AS
WITH repeated AS (
    SELECT _key, max(_position) AS last
    FROM waiting
    GROUP BY _key
    HAVING count(*) > 1
)

SELECT waiting._position, repeated.last AS kept
FROM waiting
JOIN repeated ON waiting._key IS NOT DISTINCT FROM repeated._key AND waiting._position < repeated.last
