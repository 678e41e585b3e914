-- The rows of "rows_before" whose pairs are carried over; also those of the rotation that no call was left for.
SELECT rows_before.*
FROM rows_before
JOIN plan USING (user_id, course_id)
WHERE kind IN ('rotation', 'carried') AND NOT is_answered
