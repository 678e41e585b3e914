-- The fetched pairs of the rotation, and those whose enrollment differs from the row that would have been carried over.
SELECT
    count(*) AS fetched,
    count(*) FILTER (
        WHERE (current_rows.user_id IS NULL) <> (previous_rows.user_id IS NULL)
        OR row(
            current_rows.status, current_rows.progress_percent, current_rows.completed_at, current_rows.enrolled_at,
            current_rows.score, current_rows.time_spent_seconds
        ) IS DISTINCT FROM row(
            previous_rows.status, previous_rows.progress_percent, previous_rows.completed_at,
            previous_rows.enrolled_at, previous_rows.score, previous_rows.time_spent_seconds
        )
    ) AS differing
FROM plan
LEFT JOIN previous_rows USING (user_id, course_id)
LEFT JOIN current_rows USING (user_id, course_id)
WHERE plan.kind = 'rotation' AND plan.is_fetched
