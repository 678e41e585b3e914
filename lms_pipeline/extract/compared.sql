-- Of the rotation's answered pairs, those whose enrollment is another than the one that would have been carried.
SELECT
    count(*) AS asked,
    count(*) FILTER (
        WHERE (rows_now.user_id IS NULL) <> (rows_before.user_id IS NULL)
        OR row(
            rows_now.status, rows_now.progress_percent, rows_now.completed_at, rows_now.enrolled_at, rows_now.score,
            rows_now.time_spent_seconds
        ) IS DISTINCT FROM row(
            rows_before.status, rows_before.progress_percent, rows_before.completed_at, rows_before.enrolled_at,
            rows_before.score, rows_before.time_spent_seconds
        )
    ) AS differing
FROM plan
LEFT JOIN rows_before USING (user_id, course_id)
LEFT JOIN rows_now USING (user_id, course_id)
WHERE plan.kind = 'rotation' AND plan.is_answered
