-- The share of enrollments that was completed, left and open by each day since they began.
-- Here: ends, curves and their confidence bands. Not here: what is left out of them (scopes.sql).
-- Tables and views: with_activity (activity_utc.sql or activity_local.sql), scopes (scopes.sql). Variable: snapshot_date.

-- By course, and days from the beginning to the end: it was completed, or left, or is not ended on the snapshot's day.
CREATE TEMP TABLE course_ends AS
WITH ends AS (
    SELECT
        course_id,
        has(mask, 'ever_completed') AS is_completed,
        has(mask, 'left') AS is_left,
        CASE WHEN is_left THEN coalesce(last_activity_day, if_by_day_end(left_day)) END AS known_left_day,
        CASE
            WHEN is_completed THEN days_to_complete
            ELSE greatest(coalesce(known_left_day, getvariable('snapshot_date')) - began_day, 0)
        END AS day
    FROM with_activity
    WHERE has(mask, 'all') AND is_timed(mask, began_day)
)

SELECT
    course_id,
    day,
    count(*) FILTER (is_completed) AS completed,
    count(*) FILTER (is_left) AS "left",
    count(*) FILTER (NOT is_completed AND NOT is_left) AS censored,
    count(*) FILTER (is_left AND known_left_day IS NULL) AS undated_ends
FROM ends
GROUP BY course_id, day;

-- The bounds of 95 % confidence of a share with this variance; they stay between 0 and 1.
CREATE TEMP MACRO bound_share(share, variance, deviations) AS CASE
    WHEN share > 0 AND share < 1
        THEN exp(-exp(ln(-ln(share)) + deviations * sqrt(greatest(variance, 0)) / (share * abs(ln(share)))))
END;
CREATE TEMP MACRO deviations() AS 1.959963984540054::DOUBLE;

CREATE TEMP VIEW completion_curve AS
WITH ends AS (
    SELECT 'course' AS scope, * FROM course_ends
    UNION ALL BY NAME
    SELECT 'account' AS scope, * EXCLUDE course_id FROM course_ends
    UNION ALL BY NAME
    -- every curve begins on day 0
    SELECT DISTINCT 'course' AS scope, course_id, 0 AS day FROM course_ends
    UNION ALL BY NAME
    SELECT DISTINCT 'account' AS scope, 0 AS day FROM course_ends
),

days AS (
    SELECT
        scope, course_id, day,
        total(completed) AS completed,
        total("left") AS "left",
        total(censored) AS censored,
        total(undated_ends) AS undated_ends
    FROM ends
    GROUP BY scope, course_id, day
),

risks AS (
    SELECT
        * REPLACE ((sum(undated_ends) OVER whole)::BIGINT AS undated_ends),
        completed + "left" AS ended,
        (sum(completed + "left" + censored) OVER since)::BIGINT AS at_risk,
        max(day) OVER whole AS last_day
    FROM days
    WINDOW
        whole AS (PARTITION BY scope, course_id),
        since AS (PARTITION BY scope, course_id ORDER BY day DESC ROWS UNBOUNDED PRECEDING)
),

-- The days with a row. On the others, no share changes.
open_shares AS (
    SELECT
        *,
        product((at_risk - ended)::DOUBLE / at_risk) OVER so_far AS open_share,
        sum(completed) OVER so_far AS completed_so_far,
        sum("left") OVER so_far AS left_so_far
    FROM risks
    WHERE day = 0 OR ended > 0 OR day = last_day
    WINDOW so_far AS (PARTITION BY scope, course_id ORDER BY day ROWS UNBOUNDED PRECEDING)
),

steps AS (
    SELECT
        *,
        lag(open_share, 1, 1) OVER (PARTITION BY scope, course_id ORDER BY day) AS open_before,
        open_before * completed / at_risk AS completed_step,
        open_before * "left" / at_risk AS left_step,
        CASE WHEN at_risk > ended THEN ended / (at_risk::DOUBLE * (at_risk - ended)) ELSE 0 END AS greenwood
    FROM open_shares
),

-- Exactly 0 or 1 where it is: the sum of all steps may be a little less than 1.
shares AS (
    SELECT
        *,
        CASE WHEN left_so_far = 0 THEN 1 - open_share ELSE sum(completed_step) OVER so_far END AS completed_share,
        CASE WHEN completed_so_far = 0 THEN 1 - open_share ELSE sum(left_step) OVER so_far END AS left_share
    FROM steps
    WINDOW so_far AS (PARTITION BY scope, course_id ORDER BY day ROWS UNBOUNDED PRECEDING)
),

-- The variance of a share F is a sum over the days so far of (F - F(day))^2 * greenwood, of open_before^2 * c (n - c) / n^3
-- and of -2 (F - F(day)) * open_before * c / n^2, where c of n at risk ended. Each is written as powers of F, whose factors
-- are running sums.
variances AS (
    SELECT
        *,
        open_share * open_share * sum(greenwood) OVER so_far AS open_variance,

        completed_share * completed_share * sum(greenwood) OVER so_far
        - 2 * completed_share * sum(completed_share * greenwood + completed_step / at_risk) OVER so_far
        + sum(
            completed_share * completed_share * greenwood
            + 2 * completed_share * completed_step / at_risk
            + open_before * completed_step * (at_risk - completed) / at_risk / at_risk
        ) OVER so_far AS completed_variance,

        left_share * left_share * sum(greenwood) OVER so_far
        - 2 * left_share * sum(left_share * greenwood + left_step / at_risk) OVER so_far
        + sum(
            left_share * left_share * greenwood
            + 2 * left_share * left_step / at_risk
            + open_before * left_step * (at_risk - "left") / at_risk / at_risk
        ) OVER so_far AS left_variance
    FROM shares
    WINDOW so_far AS (PARTITION BY scope, course_id ORDER BY day ROWS UNBOUNDED PRECEDING)
)

SELECT
    variances.*,
    bound_share(open_share, open_variance, deviations()) AS open_share_low,
    bound_share(open_share, open_variance, -deviations()) AS open_share_high,
    bound_share(completed_share, completed_variance, deviations()) AS completed_share_low,
    bound_share(completed_share, completed_variance, -deviations()) AS completed_share_high,
    bound_share(left_share, left_variance, deviations()) AS left_share_low,
    bound_share(left_share, left_variance, -deviations()) AS left_share_high,
    course_title,
    left_out
FROM variances
JOIN scopes
ON scopes.scope = variances.scope AND scopes.course_id IS NOT DISTINCT FROM variances.course_id;
