-- The role in the raw records that name a learner and a course. Records of one pair with different roles say nothing.
CREATE TEMP TABLE roles_by_pair AS
SELECT
    user_id,
    course_id,
    any_value(role) AS role
FROM roles
WHERE user_id IS NOT NULL AND course_id IS NOT NULL
GROUP BY user_id, course_id
HAVING count(DISTINCT coalesce(role, '')) = 1
