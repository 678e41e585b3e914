-- Completions that lapse, and the due day in force of each enrollment: see docs/rules.md.
-- Here: when a completion counts no longer. Not here: the first due day (rules.sql), the sets (classify.sql).
-- View: placed (superseded.sql). Variable: snapshot_date.

CREATE TEMP VIEW renewed AS
WITH lapsed AS (
    SELECT
        *,
        status IN ('completed', 'passed') AS counts,
        renewal_day <= getvariable('snapshot_date') AS is_over,
        -- Only the latest enrollment has to be renewed: an earlier one stays as it ended.
        coalesce(counts AND is_over AND NOT in_superseded, false) AS has_lapsed,
        has_lapsed
        OR (
            renewal_day IS NOT NULL
            AND status IN ('assigned', 'enrolled', 'in_progress', 'overdue')
            AND NOT in_superseded
        ) AS is_renewing,
        -- A completion after the first due day may be a renewal, unless it is earlier than any renewal can be due.
        coalesce(
            renewal_day IS NULL OR completed_day <= first_due_day OR completed_day < add_months(began_day, renew_months),
            false
        ) AS is_first,
        CASE
            WHEN is_renewing THEN renewal_day
            WHEN is_first AND first_due_day IS NOT NULL THEN first_due_day
            WHEN counts AND NOT is_over THEN renewal_day
        END AS day_in_force,
        -- Whether that is the first due day, as the LMS gives it.
        NOT is_renewing AND is_first AND day_by_rule IS NULL AND due_day IS NOT NULL AS is_day_of_lms
    FROM placed
)

SELECT
    lapsed.* REPLACE (
        CASE WHEN has_lapsed THEN 'overdue'::enrollment_status ELSE status END AS status,
        -- The progress is that of the completion that has lapsed.
        CASE WHEN NOT has_lapsed THEN progress_percent END AS progress_percent,
        day_in_force AS due_day
    ),
    day_in_force IS NOT NULL AND NOT is_day_of_lms AS due_by_rule
FROM lapsed;
