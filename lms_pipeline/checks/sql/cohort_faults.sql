-- The rows of cohort_completion that can't be, by kind (share, sum or order) and figure.
-- View: published. Table: wholes (scope, course_id, n_all). Parameters: snapshot_date, max_error.
WITH rows AS (
    SELECT
        *,
        cohort + to_months(months_since::INT) AS month,
        format('{} {}, cohort {}, months_since {}: completed {} of {}, rate {}',
            scope, coalesce(course_id, ''), cohort, months_since, completed, enrolled, rate) AS text,
        lag(completed) OVER months AS completed_before,
        lag(enrolled) OVER months AS enrolled_before
    FROM published
    WINDOW months AS (PARTITION BY scope, course_id, cohort ORDER BY months_since)
),

totals AS (
    SELECT
        scope, course_id,
        sum(enrolled) FILTER (months_since = 0) + any_value(left_out) AS n_all,
        format('{} {}: {} in cohorts or left out', scope, coalesce(course_id, ''), n_all) AS text
    FROM published
    GROUP BY scope, course_id
),

faults AS (
    SELECT 'share' AS kind, 'rate' AS figure, text
    FROM rows
    WHERE is_whole <> (rate IS NOT NULL)
    OR abs(rate * enrolled - completed) > $max_error * enrolled
    OR completed NOT BETWEEN 0 AND enrolled
    OR enrolled < 1
    UNION ALL
    SELECT 'order', 'months_since', text
    FROM rows
    WHERE months_since NOT BETWEEN 0 AND 24
    OR month > $snapshot_date
    OR is_whole <> (last_day(month) <= $snapshot_date)
    UNION ALL
    SELECT 'order', 'completed', text FROM rows WHERE completed < completed_before
    UNION ALL
    SELECT 'sum', 'enrolled', text FROM rows WHERE enrolled <> enrolled_before
    UNION ALL
    SELECT 'sum', 'n_all', format('{}, and {} enrollments', text, wholes.n_all)
    FROM totals
    JOIN wholes
    ON wholes.scope = totals.scope AND wholes.course_id IS NOT DISTINCT FROM totals.course_id
    WHERE wholes.n_all <> totals.n_all
)

SELECT kind, figure, count(*) AS rows, min(text) AS first
FROM faults
GROUP BY kind, figure
ORDER BY kind, figure
