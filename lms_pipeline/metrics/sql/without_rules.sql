-- The rows of a snapshot of an account in which no rule matches a course.
-- Here: the view that rules.sql has for an account with rules, which costs a join. View: reported (enrollments.sql).

CREATE TEMP VIEW ruled AS
SELECT
    *,
    false AS has_excluded_learner,
    false AS mandatory_by_rule,
    NULL::DATE AS opens_day
FROM reported;
