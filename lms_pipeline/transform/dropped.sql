-- The positions in "served" of the rows that a later row with the same key replaces, and the position of that row.
CREATE TEMP TABLE dropped AS
WITH repeated AS (
    SELECT _key, max(_position) AS last
    FROM served
    GROUP BY _key
    HAVING count(*) > 1
)

SELECT served._position, repeated.last AS kept
FROM served
JOIN repeated ON served._key IS NOT DISTINCT FROM repeated._key AND served._position < repeated.last
