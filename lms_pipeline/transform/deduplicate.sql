-- The rows of "row_group", a part of the rows, in the order served and without the dropped rows.
SELECT * EXCLUDE (_position)
FROM row_group
WHERE _position NOT IN (SELECT _position FROM dropped)
ORDER BY _position
