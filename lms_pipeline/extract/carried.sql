-- The previous rows of the pairs that are carried over, including pairs of the rotation that no call was left for.
SELECT previous_rows.*
FROM previous_rows
JOIN plan USING (user_id, course_id)
WHERE kind IN ('rotation', 'carried') AND NOT is_fetched
