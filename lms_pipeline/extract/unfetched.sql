SELECT user_id, course_id, payload, fetched_at
FROM plan
WHERE kind IN ('new', 'changed') AND NOT is_fetched
ORDER BY position
