-- The first pairs of learner and course with one of these judgements. View: paired. Macro: judge.
-- Parameters: judgements, max_rows.
SELECT
    judge(rows_raw, rows_unified, raw_status, status) AS judgement,
    user_id,
    course_id,
    left(raw_status, 40) AS raw_status,
    status
FROM paired
WHERE list_contains($judgements, judgement)
ORDER BY judgement, user_id, course_id
LIMIT $max_rows
