-- The number of pairs of learner and course by judgement, and of the enrollments behind them. View: paired. Macro: judge.
WITH counted AS (
    SELECT
        least(rows_raw, 2) AS rows_raw,
        least(rows_unified, 2) AS rows_unified,
        raw_status,
        status,
        count(*) AS pairs,
        sum(CASE WHEN rows_unified = 0 THEN rows_raw ELSE rows_unified END) AS enrollments,
        bool_or(is_large) AS is_large
    FROM paired
    GROUP BY ALL
)

SELECT
    judge(rows_raw, rows_unified, raw_status, status) AS judgement,
    sum(pairs)::BIGINT AS pairs,
    sum(enrollments)::BIGINT AS enrollments,
    coalesce(bool_or(is_large), FALSE) AS is_large
FROM counted
GROUP BY judgement
