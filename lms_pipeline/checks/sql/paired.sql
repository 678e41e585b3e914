-- Each pair of learner and course in raw or unified, with its rows in each. View: placed, published.
CREATE OR REPLACE TEMP VIEW paired AS
SELECT
    user_id,
    course_id,
    count(*) FILTER (WHERE is_raw) AS rows_raw,
    count(*) FILTER (WHERE NOT is_raw) AS rows_unified,
    any_value(raw_status) AS raw_status,
    any_value(status) AS status,
    bool_or(is_large) AS is_large
FROM (
    SELECT user_id, course_id, TRUE AS is_raw, raw_status, NULL AS status, is_large
    FROM placed
    WHERE user_id IS NOT NULL AND course_id IS NOT NULL
    UNION ALL
    SELECT user_id, course_id, FALSE, NULL, status, NULL
    FROM published
)
GROUP BY user_id, course_id
