-- The enrollments that need someone, by name: the strongest reason first, then who waits longest.
-- $path: a file of `attention`; $reasons: the reasons, strongest first; $limit: rows at most.
SELECT
    user_name,
    user_id,
    course_id,
    course_title,
    reason,
    days,
    due_day,
    last_seen_day
FROM read_parquet($path)
ORDER BY
    list_position($reasons, reason),
    CASE WHEN reason = 'due_soon' THEN days ELSE -days END,
    user_id,
    course_id
LIMIT $limit
