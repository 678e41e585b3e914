-- The rows of "without_roles", a part of the rows, with the roles of the raw records that belong to them: by the
-- id of the enrollment, unless the record names another learner or course; otherwise by learner and course.
SELECT without_roles.* REPLACE (coalesce(without_roles.role, by_id.role, by_pair.role) AS role)
FROM without_roles
LEFT JOIN roles_by_id AS by_id
    ON
        by_id.enrollment_id = without_roles.enrollment_id
        AND coalesce(by_id.user_id = without_roles.user_id, TRUE)
        AND coalesce(by_id.course_id = without_roles.course_id, TRUE)
LEFT JOIN roles_by_pair AS by_pair
    ON by_pair.user_id = without_roles.user_id AND by_pair.course_id = without_roles.course_id
