-- The rows of completion_curve that can't be, by kind (share, sum or order) and figure.
-- View: published. Table: wholes (scope, course_id, n_all). Parameter: max_error.
WITH rows AS (
    SELECT
        *,
        format('{} {}, day {}', scope, coalesce(course_id, ''), day) AS text,
        lag(day) OVER days AS day_before,
        lag(at_risk - completed - "left" - censored) OVER days AS remaining,
        lag(open_share) OVER days AS open_before,
        lag(completed_share) OVER days AS completed_before,
        lag(left_share) OVER days AS left_before
    FROM published
    WINDOW days AS (PARTITION BY scope, course_id ORDER BY day)
),

shares AS (
    SELECT text, 'open_share' AS figure, open_share AS share, open_share_low AS low, open_share_high AS high FROM rows
    UNION ALL
    SELECT text, 'completed_share', completed_share, completed_share_low, completed_share_high FROM rows
    UNION ALL
    SELECT text, 'left_share', left_share, left_share_low, left_share_high FROM rows
),

faults AS (
    SELECT 'share' AS kind, figure, format('{}: {} from {} to {}', text, share, low, high) AS text
    FROM shares
    WHERE share IS NULL
    OR share NOT BETWEEN 0 AND 1
    OR (share IN (0, 1)) <> (low IS NULL)
    OR (share IN (0, 1)) <> (high IS NULL)
    OR low NOT BETWEEN 0 AND share + $max_error
    OR high NOT BETWEEN share - $max_error AND 1
    UNION ALL
    SELECT 'sum', 'open_share', text FROM rows WHERE abs(open_share + completed_share + left_share - 1) > $max_error
    UNION ALL
    SELECT 'sum', 'at_risk', text
    FROM rows
    WHERE completed + "left" + censored > at_risk OR least(completed, "left", censored) < 0 OR at_risk > remaining
    UNION ALL
    SELECT 'sum', 'n_all', format('{}: {} at risk or left out, and {} enrollments', text, at_risk + left_out, n_all)
    FROM rows
    JOIN wholes
    ON wholes.scope = rows.scope AND wholes.course_id IS NOT DISTINCT FROM rows.course_id
    WHERE day_before IS NULL AND at_risk + left_out <> n_all
    UNION ALL
    SELECT 'order', 'day', text FROM rows WHERE day_before IS NULL AND day <> 0
    UNION ALL
    SELECT 'order', 'open_share', text FROM rows WHERE open_share > open_before + $max_error
    UNION ALL
    SELECT 'order', 'completed_share', text FROM rows WHERE completed_share < completed_before - $max_error
    UNION ALL
    SELECT 'order', 'left_share', text FROM rows WHERE left_share < left_before - $max_error
)

SELECT kind, figure, count(*) AS rows, min(text) AS first
FROM faults
GROUP BY kind, figure
ORDER BY kind, figure
