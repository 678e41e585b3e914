-- The fetched pairs of the rotation, and those whose enrollment differs from the row that would have been carried over.
-- A column that the previous file lacks, since an older version wrote it, is null. So is a date before 1980, which an
-- older version stored and this one reads as null. Variable: sentinels_end.
WITH described AS (
    FROM current_rows WHERE false
    UNION ALL BY NAME
    FROM previous_rows
),

previous AS (
    SELECT
        * REPLACE (
            CASE WHEN completed_at < getvariable('sentinels_end') THEN NULL ELSE completed_at END AS completed_at,
            CASE WHEN enrolled_at < getvariable('sentinels_end') THEN NULL ELSE enrolled_at END AS enrolled_at
        )
    FROM described
)

SELECT
    count(*) AS fetched,
    count(*) FILTER (
        -- A change after the response with the roster could not show in its entry.
        WHERE NOT coalesce(current_rows.updated_at > plan.fetched_at, FALSE)
        AND ((current_rows.user_id IS NULL) <> (previous.user_id IS NULL)
        OR row(
            current_rows.status, current_rows.progress_percent, current_rows.completed_at, current_rows.enrolled_at,
            current_rows.score, current_rows.time_spent_seconds
        ) IS DISTINCT FROM row(
            previous.status, previous.progress_percent, previous.completed_at, previous.enrolled_at,
            previous.score, previous.time_spent_seconds
        ))
    ) AS differing
FROM plan
LEFT JOIN previous USING (user_id, course_id)
LEFT JOIN current_rows USING (user_id, course_id)
WHERE plan.kind = 'rotation' AND plan.is_fetched
