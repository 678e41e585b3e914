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
        days.*, course_title, undated_ends, totals.left_out, last_day,
        c + l AS d,
        (totals.n - sum(c + l + z) OVER to_day + c + l + z)::BIGINT AS n
    FROM days
    JOIN totals ON totals.scope = days.scope AND totals.course_id IS NOT DISTINCT FROM days.course_id
    WINDOW to_day AS (PARTITION BY days.scope, days.course_id ORDER BY day)
),
-- Nobody ends on the other days: the shares stay as they are.
rows_of_table AS (
    SELECT * FROM at_risk WHERE d > 0 OR day IN (0, last_day)
),
open_shares AS (
    SELECT
        *,
        product(1 - d / n) OVER to_day AS s,
        bool_or(d = n) OVER to_day AS is_over,
        sum(c) OVER to_day AS c_so_far,
        sum(l) OVER to_day AS l_so_far,
        CASE WHEN d < n THEN d / (n * (n - d)) ELSE 0 END AS term
    FROM rows_of_table
    WINDOW to_day AS (PARTITION BY scope, course_id ORDER BY day)
),
shares AS (
    SELECT
        *,
        sum(s_before * c / n) OVER to_day AS f,
        sum(s_before * l / n) OVER to_day AS g,
        sum(term) OVER to_day AS terms
    FROM (
        SELECT *, lag(s, 1, 1.0) OVER (PARTITION BY scope, course_id ORDER BY day) AS s_before FROM open_shares
    )
    WINDOW to_day AS (PARTITION BY scope, course_id ORDER BY day)
),
-- The squares in V are multiplied out, so that each sum runs on.
variances AS (
    SELECT
        *,
        s * s * terms AS v_s,
        f * f * terms - 2 * f * sum(f * term) OVER to_day + sum(f * f * term) OVER to_day
        + sum(s_before * s_before * c * (n - c) / n ** 3) OVER to_day
        - 2 * f * sum(s_before * c / n ** 2) OVER to_day + 2 * sum(f * s_before * c / n ** 2) OVER to_day AS v_f,
        g * g * terms - 2 * g * sum(g * term) OVER to_day + sum(g * g * term) OVER to_day
        + sum(s_before * s_before * l * (n - l) / n ** 3) OVER to_day
        - 2 * g * sum(s_before * l / n ** 2) OVER to_day + 2 * sum(g * s_before * l / n ** 2) OVER to_day AS v_g
    FROM shares
    WINDOW to_day AS (PARTITION BY scope, course_id ORDER BY day)
),
widths AS (
    SELECT
        *,
        NOT is_over AND c_so_far + l_so_far > 0 AS has_s_band,
        c_so_far > 0 AND NOT (is_over AND l_so_far = 0) AS has_f_band,
        l_so_far > 0 AND NOT (is_over AND c_so_far = 0) AS has_g_band,
        CASE WHEN has_s_band THEN ln(-ln(s)) END AS s_middle,
        CASE WHEN has_s_band THEN 1.959963984540054 * sqrt(greatest(v_s, 0)) / (s * abs(ln(s))) END AS s_width,
        CASE WHEN has_f_band THEN ln(-ln(f)) END AS f_middle,
        CASE WHEN has_f_band THEN 1.959963984540054 * sqrt(greatest(v_f, 0)) / (f * abs(ln(f))) END AS f_width,
        CASE WHEN has_g_band THEN ln(-ln(g)) END AS g_middle,
        CASE WHEN has_g_band THEN 1.959963984540054 * sqrt(greatest(v_g, 0)) / (g * abs(ln(g))) END AS g_width
    FROM variances
)
SELECT
    scope,
    course_id,
    course_title,
    day,
    n AS at_risk,
    c AS completed,
    l AS "left",
    z AS censored,
    s AS open_share,
    exp(-exp(s_middle + s_width)) AS open_share_low,
    exp(-exp(s_middle - s_width)) AS open_share_high,
    f AS completed_share,
    exp(-exp(f_middle + f_width)) AS completed_share_low,
    exp(-exp(f_middle - f_width)) AS completed_share_high,
    g AS left_share,
    exp(-exp(g_middle + g_width)) AS left_share_low,
    exp(-exp(g_middle - g_width)) AS left_share_high,
    undated_ends,
    left_out
FROM widths
ORDER BY scope, course_id, day
