-- What the tables over time share: the enrollments whose beginning and completion have a day, and the account and its
-- courses with their titles.
-- Here: what is left out. Not here: cohorts (cohorts.sql), curves (curves.sql).
-- Tables and views: classified (classify.sql), course_titles (counts.sql).

-- Whether it is known when the enrollment began and, if it was completed, when: not before it began.
CREATE TEMP MACRO is_timed(mask, began_day) AS
    began_day IS NOT NULL AND (NOT has(mask, 'ever_completed') OR has(mask, 'duration'));

CREATE TEMP TABLE scopes AS
WITH courses AS (
    SELECT course_id, count(*) FILTER (has(mask, 'all') AND NOT is_timed(mask, began_day)) AS left_out
    FROM classified
    GROUP BY course_id
)

SELECT 'course' AS scope, course_id, course_title, left_out
FROM courses
JOIN course_titles USING (course_id)
UNION ALL BY NAME
SELECT 'account' AS scope, sum(left_out)::BIGINT AS left_out
FROM courses;
