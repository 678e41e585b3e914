-- Roles that are neither known to learn nor excluded. Parameters: known, max_rows.
SELECT left(lower(trim(role)), 40) AS role, count(*) AS enrollments, sum(count(*)) OVER () AS of_all
FROM published
WHERE role IS NOT NULL AND NOT list_contains($known, regexp_replace(lower(role), '[\s\pZ]+', '', 'g'))
GROUP BY ALL
ORDER BY enrollments DESC, role
LIMIT $max_rows
