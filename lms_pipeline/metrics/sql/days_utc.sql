-- The calendar days on which a row's instants fall, for an account whose days are those of UTC.
-- Here: the view that days_local.sql has for other time zones. View: served (dates.sql).

CREATE TEMP VIEW with_days AS
SELECT
    *,
    utc_day_of(fetched_at) AS fetched_day,
    utc_day_of(enrolled_at) AS enrolled_day,
    utc_day_of(assigned_at) AS assigned_day,
    utc_day_of(completed_at) AS completed_day,
    utc_day_of(updated_at) AS updated_day,
    utc_day_of(due_at) AS due_day
FROM served;
