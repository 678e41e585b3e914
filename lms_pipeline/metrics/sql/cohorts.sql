-- How many of the enrollments that began in a month had completed by the end of that month and of each later one.
-- Here: cohorts. Not here: what is left out of them (scopes.sql).
-- Tables: classified (classify.sql), scopes (scopes.sql). Variable: snapshot_date.

CREATE TEMP MACRO last_month_since() AS 24;
CREATE TEMP MACRO month_of(day) AS date_trunc('month', day)::DATE;

-- By course, month of beginning, and months until the completion; null if there was none.
CREATE TEMP TABLE course_cohorts AS
SELECT
    course_id,
    month_of(began_day) AS cohort,
    datediff('month', began_day, began_day + days_to_complete::INT) AS months_since,
    count(*) AS n
FROM classified
WHERE has(mask, 'all') AND is_timed(mask, began_day)
GROUP BY ALL;

CREATE TEMP VIEW cohort_completion AS
WITH cohorts AS (
    SELECT 'course' AS scope, course_id, cohort, months_since, n
    FROM course_cohorts
    UNION ALL
    SELECT 'account' AS scope, NULL AS course_id, cohort, months_since, sum(n)::BIGINT AS n
    FROM course_cohorts
    GROUP BY cohort, months_since
),

-- Every cohort has a row for each month since then, to the month of the snapshot.
with_each_month AS (
    SELECT scope, course_id, cohort, months_since, n
    FROM cohorts
    UNION ALL
    SELECT
        scope,
        course_id,
        cohort,
        unnest(range(least(last_month_since(), datediff('month', cohort, getvariable('snapshot_date'))) + 1)) AS months_since,
        0 AS n
    FROM (SELECT DISTINCT scope, course_id, cohort FROM cohorts)
),

months AS (
    SELECT scope, course_id, cohort, months_since, sum(n) AS n
    FROM with_each_month
    GROUP BY scope, course_id, cohort, months_since
),

-- Enrollments without a completion come last: they have no month.
counted AS (
    SELECT
        scope,
        course_id,
        cohort,
        months_since,
        (sum(n) OVER (PARTITION BY scope, course_id, cohort))::BIGINT AS enrolled,
        (sum(n) OVER (PARTITION BY scope, course_id, cohort ORDER BY months_since NULLS LAST))::BIGINT AS completed,
        last_day(cohort + to_months(months_since::INT)) <= getvariable('snapshot_date') AS is_whole
    FROM months
)

SELECT
    counted.*,
    CASE WHEN is_whole THEN rate(completed, enrolled) END AS rate,
    course_title,
    left_out
FROM counted
JOIN scopes
ON scopes.scope = counted.scope AND scopes.course_id IS NOT DISTINCT FROM counted.course_id
WHERE months_since <= last_month_since();
