-- The rows of a snapshot of an account in which no rule matches a course.
-- Here: the view that renewals.sql has for an account with rules. View: placed (superseded.sql).

CREATE TEMP VIEW renewed AS
SELECT *, false AS due_by_rule
FROM placed;
