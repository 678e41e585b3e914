-- The rows of a snapshot with what the rules say about their courses: see docs/rules.md.
-- Here: due days, renewals, mandatory flags, learners and roles to leave out. Not here: which rule matches a course
-- (accounts/rule_matching.py), the sets (classify.sql).
-- View: reported (enrollments.sql). Table: course_rules, by Python. Variable: snapshot_date.

-- The same day of a later month, or the last day of a shorter one.
CREATE TEMP MACRO add_months(day, months) AS (day + to_months(months))::DATE;

CREATE TEMP VIEW ruled AS
WITH matched AS (
    SELECT
        reported.*,
        renew_months,
        opens AS opens_day,
        coalesce(list_contains(excluded_learners, user_id), false) AS has_excluded_learner,
        coalesce(list_contains(excluded_roles, role_name), false) AS has_role_of_rule,
        -- The LMS's own value wins, unless the rule overrides it.
        CASE WHEN due_day IS NULL OR due_overrides THEN coalesce(due_on, began_day + due_days) END AS day_by_rule,
        coalesce(day_by_rule, due_day) AS first_due_day,
        CASE WHEN is_mandatory IS NULL OR mandatory_overrides THEN mandatory END AS flag_by_rule,
        -- From this day on the completion counts no longer.
        CASE
            WHEN status <> 'failed' AND (due_day IS NULL OR renewal_overrides)
                THEN add_months(completed_day, renew_months)
        END AS renewal_day
    FROM reported
    LEFT JOIN course_rules USING (course_id)
),

renewed AS (
    SELECT
        *,
        status IN ('completed', 'passed') AS counts,
        coalesce(counts AND renewal_day <= getvariable('snapshot_date'), false) AS has_lapsed,
        has_lapsed OR (renewal_day IS NOT NULL AND status IN ('assigned', 'enrolled', 'in_progress', 'overdue'))
            AS is_renewing,
        -- A completion after the first due day may be a renewal, unless it is earlier than any renewal can be due.
        coalesce(
            renewal_day IS NULL OR completed_day <= first_due_day OR completed_day < add_months(began_day, renew_months),
            false
        ) AS is_first,
        CASE
            WHEN is_renewing THEN renewal_day
            WHEN is_first AND first_due_day IS NOT NULL THEN first_due_day
            WHEN counts THEN renewal_day
        END AS day_in_force,
        -- Whether that is the first due day, as the LMS gives it.
        NOT is_renewing AND is_first AND day_by_rule IS NULL AND due_day IS NOT NULL AS is_day_of_lms
    FROM matched
)

SELECT
    renewed.* REPLACE (
        CASE WHEN has_lapsed THEN 'overdue'::enrollment_status ELSE status END AS status,
        -- The progress is that of the completion that has lapsed.
        CASE WHEN NOT has_lapsed THEN progress_percent END AS progress_percent,
        day_in_force AS due_day,
        coalesce(flag_by_rule, is_mandatory) AS is_mandatory,
        has_excluded_role OR has_role_of_rule AS has_excluded_role
    ),
    day_in_force IS NOT NULL AND NOT is_day_of_lms AS due_by_rule,
    flag_by_rule IS NOT NULL AS mandatory_by_rule
FROM renewed;
