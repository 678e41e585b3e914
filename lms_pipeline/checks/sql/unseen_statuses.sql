-- Statuses that are not documented, as served. Parameters: max_rows.
SELECT left(coalesce(trim(status_raw), ''), 40) AS status_raw, count(*) AS enrollments, sum(count(*)) OVER () AS of_all
FROM published
WHERE status = 'unknown' AND coalesce(lower(trim(status_raw)), '') <> 'unknown'
GROUP BY ALL
ORDER BY enrollments DESC, status_raw
LIMIT $max_rows
