-- The role in the raw record with the id of an enrollment, and the learner and course that the record names, if any.
-- An id that stands for several raw records, or for enrollments of several learners or courses, says nothing.
CREATE TEMP TABLE roles_by_id AS
SELECT
    enrollment_id,
    any_value(user_id) AS user_id,
    any_value(course_id) AS course_id,
    any_value(role) AS role
FROM roles
WHERE
    enrollment_id IS NOT NULL
    AND enrollment_id NOT IN (
        SELECT served.enrollment_id
        FROM served
        WHERE served.enrollment_id IS NOT NULL
        GROUP BY served.enrollment_id
        HAVING count(DISTINCT row(served.user_id, served.course_id)) > 1
    )
GROUP BY enrollment_id
HAVING count(DISTINCT row(roles.user_id, roles.course_id, roles.role)) = 1
