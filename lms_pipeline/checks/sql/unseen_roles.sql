-- Roles that are neither known to learn nor excluded. Parameters: known, max_rows. Table: summary.
-- Macro: normalize_role (tables/normalize_role.sql).
SELECT
    left(lower(trim(role)), 40) AS role,
    sum(enrollments)::BIGINT AS enrollments,
    (sum(sum(enrollments)) OVER ())::BIGINT AS of_all
FROM summary
WHERE role IS NOT NULL AND NOT list_contains($known, normalize_role(role))
GROUP BY ALL
ORDER BY enrollments DESC, role
LIMIT $max_rows
