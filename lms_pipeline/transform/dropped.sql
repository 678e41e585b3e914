-- The positions in "staged" of the rows that a later row with the same key replaces, and the position of that row.
CREATE TEMP TABLE dropped AS
WITH repeated AS (
    SELECT _key, max(_position) AS last
    FROM staged
    GROUP BY _key
    HAVING count(*) > 1
)

SELECT staged._position, repeated.last AS kept
FROM staged
JOIN repeated ON staged._key IS NOT DISTINCT FROM repeated._key AND staged._position < repeated.last
