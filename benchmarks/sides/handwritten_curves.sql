-- What a person would write for completion_curve. Parameter: snapshot_date.
WITH timed AS (
    SELECT
        course_id,
        course_title,
        NOT is_left_out AND NOT ever_completed AND status IN ('failed', 'withdrawn', 'expired') AS has_left,
        coalesce(completed_day, active_day, updated_day) AS left_day,
        CASE
            WHEN is_left_out THEN NULL
            WHEN ever_completed THEN duration
            WHEN has_left THEN greatest(coalesce(left_day, $snapshot_date) - began_day, 0)
            ELSE $snapshot_date - began_day
        END AS day,
        is_left_out,
        NOT is_left_out AND ever_completed AS has_completed
    FROM enrollments
),
counts AS (
    SELECT
        course_id,
        day,
        count(*) FILTER (has_completed) AS c,
        count(*) FILTER (has_left) AS l,
        count(*) FILTER (NOT has_completed AND NOT has_left AND NOT is_left_out) AS z,
        count(*) FILTER (has_left AND left_day IS NULL) AS undated,
        count(*) FILTER (is_left_out) AS left_out,
        max(course_title) AS course_title
    FROM timed
    GROUP BY ALL
),
scoped AS (
    SELECT 'course' AS scope, * FROM counts
    UNION ALL
    SELECT 'account', NULL, day, sum(c), sum(l), sum(z), sum(undated), sum(left_out), NULL FROM counts GROUP BY day
),
totals AS (
    SELECT
        scope, course_id,
        max(course_title) AS course_title,
        sum(undated)::BIGINT AS undated_ends,
        sum(left_out)::BIGINT AS left_out,
        sum(c + l + z) AS n,
        max(day) AS last_day
    FROM scoped
    GROUP BY scope, course_id
),
with_start AS (
    SELECT scope, course_id, day, c, l, z FROM scoped WHERE day IS NOT NULL
    UNION ALL
    SELECT scope, course_id, 0, 0, 0, 0 FROM totals WHERE n > 0
),
days AS (
    SELECT scope, course_id, day, sum(c)::BIGINT AS c, sum(l)::BIGINT AS l, sum(z)::BIGINT AS z
    FROM with_start
    GROUP BY ALL
),
at_risk AS (
    SELECT
        days.*, course_title, undated_ends, totals.left_out, last_day, c + l AS d,
        (totals.n - sum(c + l + z) OVER earlier)::BIGINT AS n
    FROM days
    JOIN totals ON totals.scope = days.scope AND totals.course_id IS NOT DISTINCT FROM days.course_id
    WINDOW earlier AS (
        PARTITION BY days.scope, days.course_id ORDER BY day ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW
    )
)
SELECT * FROM at_risk
