-- The number of enrollments by source, role, and status as served where that is not documented, and the time of the oldest
-- response, into the table summary. View: published.
CREATE OR REPLACE TEMP TABLE summary AS
SELECT
    source,
    role,
    CASE
        WHEN status = 'unknown' AND coalesce(lower(trim(status_raw)), '') <> 'unknown'
            THEN left(coalesce(trim(status_raw), ''), 40)
    END AS unseen_status,
    count(*) AS enrollments,
    min(fetched_at) AS oldest_fetch
FROM published
GROUP BY ALL
