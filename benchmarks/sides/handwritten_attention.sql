-- What a person would write for attention. Parameter: snapshot_date. Every learner has a last activity, so no earlier
-- snapshot is read.
WITH latest AS (
    SELECT
        *,
        started_at IS NOT NULL OR completed_day IS NOT NULL OR coalesce(progress_percent > 0, false)
        OR coalesce(time_spent_seconds > 0, false) OR status = 'in_progress' AS is_started,
        active_day AS last_seen_day
    FROM enrollments
    QUALIFY is_open AND rank() OVER (
        PARTITION BY user_id, course_id
        ORDER BY began_at DESC NULLS LAST, attempt_number DESC NULLS LAST, enrollment_id DESC NULLS LAST
    ) = 1
),
reasoned AS (
    SELECT
        *,
        [
            CASE WHEN coalesce(due_day <= $snapshot_date, false) OR status = 'overdue' THEN 'overdue' END,
            CASE
                WHEN due_day BETWEEN $snapshot_date + 1 AND $snapshot_date + 7
                AND coalesce(progress_percent < 100 * ($snapshot_date - began_day) / (due_day - began_day), true)
                THEN 'due_soon'
            END,
            CASE WHEN progress_percent >= 100 THEN 'stuck' END,
            CASE WHEN is_started AND last_seen_day <= $snapshot_date - 14 THEN 'idle' END,
            CASE WHEN NOT is_started AND began_day <= $snapshot_date - 14 THEN 'never_started' END
        ] AS all_reasons,
        list_filter(all_reasons, lambda reason: reason IS NOT NULL) AS reason_list
    FROM latest
)
SELECT
    enrollment_id,
    user_id,
    user_name,
    course_id,
    course_title,
    reason_list[1] AS reason,
    array_to_string(reason_list, ',') AS reasons,
    CASE reason_list[1]
        WHEN 'overdue' THEN CASE WHEN due_day <= $snapshot_date THEN $snapshot_date - due_day END
        WHEN 'due_soon' THEN due_day - $snapshot_date
        WHEN 'never_started' THEN $snapshot_date - began_day
        ELSE $snapshot_date - last_seen_day
    END AS days,
    status,
    progress_percent,
    began_day,
    due_day,
    last_seen_day,
    is_mandatory,
    CASE WHEN due_day IS NOT NULL THEN 'lms' END AS due_source,
    CASE WHEN is_mandatory IS NOT NULL THEN 'lms' END AS mandatory_source
FROM reasoned
WHERE len(reason_list) > 0
