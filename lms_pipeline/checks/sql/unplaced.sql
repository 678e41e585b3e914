-- The number of raw records in Truto's raw format that belong to no learner and course. View: placed.
SELECT count(*) AS records
FROM placed
WHERE source = 'raw' AND (user_id IS NULL OR course_id IS NULL)
