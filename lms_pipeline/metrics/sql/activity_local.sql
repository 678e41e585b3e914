-- The classified enrollments with the day of the last activity, for an account in a time zone.
-- Here: the view that activity_utc.sql has for UTC. Only open enrollments and those that ended without a completion have the
-- instant, so the join is not one of days_local.sql.
-- Tables: classified (classify.sql); local_activity_days, by Python.

CREATE TEMP VIEW with_activity AS
SELECT classified.*, classified.rowid AS row_number, if_by_day_end(active_on.day) AS last_activity_day
FROM classified
LEFT JOIN local_activity_days AS active_on
ON active_on.utc_day = utc_day_of(last_activity_at)
AND last_activity_at BETWEEN active_on.first_at AND active_on.last_at;
