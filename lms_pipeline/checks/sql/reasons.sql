-- Why records were rejected. Parameters: most.
SELECT reason, field, count(*) AS records
FROM published
GROUP BY ALL
ORDER BY records DESC, reason, field
LIMIT $most
