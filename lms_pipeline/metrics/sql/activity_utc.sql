-- The classified enrollments with the day of the last activity, for an account whose days are those of UTC.
-- Here: the view that activity_local.sql has for other time zones. Table: classified (classify.sql).

CREATE TEMP VIEW with_activity AS
SELECT *, rowid AS row_number, if_by_day_end(utc_day_of(last_activity_at)) AS last_activity_day
FROM classified;
