-- The number of pairs that are carried over with a row of the previous snapshot, which has no raw record of them.
SELECT count(*)
FROM plan
SEMI JOIN previous USING (user_id, course_id)
ANTI JOIN previous_raw USING (user_id, course_id)
WHERE kind IN ('rotation', 'carried') AND NOT is_fetched
