-- How many of the dropped rows are enrollments of another learner or course than the row that replaces them.
SELECT count(*)
FROM dropped
JOIN served AS removed ON removed._position = dropped._position
JOIN served AS retained ON retained._position = dropped.kept
WHERE (removed.user_id, removed.course_id) IS DISTINCT FROM (retained.user_id, retained.course_id)
