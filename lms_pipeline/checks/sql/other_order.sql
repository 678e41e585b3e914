-- The number of rows that have another learner or course in raw than in unified. View: published, raw_part.
SELECT count(*) AS differing
FROM (SELECT user_id, course_id FROM published) AS unified
POSITIONAL JOIN (SELECT user_id, course_id FROM raw_part) AS received
WHERE
    unified.user_id IS DISTINCT FROM received.user_id
    OR unified.course_id IS DISTINCT FROM received.course_id
