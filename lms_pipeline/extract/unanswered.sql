SELECT user_id, course_id, detail, fetched_at
FROM plan
WHERE kind IN ('new', 'changed') AND NOT is_answered
ORDER BY place
