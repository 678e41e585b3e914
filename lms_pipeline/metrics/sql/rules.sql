-- The rows of a snapshot with what the rules say about their courses: see docs/rules.md.
-- Here: first due days, mandatory flags, learners and roles to leave out. Not here: which rule matches a course
-- (accounts/rule_matching.py), completions that lapse (renewals.sql).
-- View: reported (enrollments.sql). Table: course_rules, by Python.

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
)

SELECT matched.* REPLACE (
    coalesce(flag_by_rule, is_mandatory) AS is_mandatory,
    has_excluded_role OR has_role_of_rule AS has_excluded_role
),
    flag_by_rule IS NOT NULL AS mandatory_by_rule
FROM matched;
