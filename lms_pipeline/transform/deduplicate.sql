-- The rows of "piece", a run of waiting rows, in the order served, without the dropped ones.
SELECT * EXCLUDE (_position, _key)
FROM piece
WHERE _position NOT IN (SELECT _position FROM dropped)
ORDER BY _position
