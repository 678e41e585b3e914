-- What the hand-written queries for cohorts, curves and attention share: each enrollment that counts, with its days.
-- Parameters: path, snapshot_date. The data have no timestamps that can't be and are in UTC.
CREATE TEMP TABLE enrollments AS
WITH dated AS (
    SELECT
        enrollment_id, user_id, user_name, course_id, course_title, progress_percent, time_spent_seconds, started_at,
        is_mandatory, attempt_number,
        coalesce(enrolled_at, assigned_at) AS began_at,
        began_at::DATE AS began_day,
        due_at::DATE AS due_day,
        -- what happened after the day does not count
        CASE WHEN last_activity_at::DATE <= $snapshot_date THEN last_activity_at::DATE END AS active_day,
        CASE WHEN updated_at::DATE <= $snapshot_date THEN updated_at::DATE END AS updated_day,
        coalesce(completed_at::DATE > $snapshot_date, false) AS completed_later,
        CASE WHEN NOT completed_later THEN completed_at::DATE END AS completed_day,
        CASE WHEN completed_later THEN 'in_progress' ELSE lower(trim(status)) END AS status
    FROM read_parquet($path)
    WHERE coalesce(lower(trim("role")), '') NOT IN ('instructor', 'teacher', 'trainer', 'admin', 'observer')
)
SELECT
    *,
    status IN ('completed', 'passed') OR (completed_day IS NOT NULL AND status <> 'failed') AS ever_completed,
    status IN ('assigned', 'enrolled', 'in_progress', 'overdue') AS is_open,
    CASE WHEN ever_completed THEN completed_day - began_day END AS duration,
    began_day IS NULL OR (ever_completed AND coalesce(duration < 0, true)) AS is_left_out
FROM dated
WHERE coalesce(began_day <= $snapshot_date, true);
