-- The enrollments that need attention, by name: the strongest reason first, then who waits longest; and how many there are.
-- $paths: files of `attention`; $reasons: the reasons, strongest first; $limit: rows at most.
SELECT
    account_id,
    user_name,
    user_id,
    course_id,
    course_title,
    reason,
    days,
    due_day,
    last_seen_day,
    count(*) OVER () AS enrollments
FROM read_parquet($paths, hive_partitioning = true, hive_types_autocast = false)
ORDER BY
    list_position($reasons, reason),
    CASE WHEN reason = 'due_soon' THEN days ELSE -days END,
    account_id,
    user_id,
    course_id
LIMIT $limit
