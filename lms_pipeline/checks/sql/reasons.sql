-- Why records were rejected. Parameters: max_rows.
SELECT reason, field, count(*) AS records
FROM published
GROUP BY ALL
ORDER BY records DESC, reason, field
LIMIT $max_rows
