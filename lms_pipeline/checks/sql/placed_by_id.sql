-- The raw enrollments with learner and course. A raw record in Truto's raw format that does not name them belongs to the
-- enrollment whose id it has.
-- Table: raw_statuses. View: published.
CREATE OR REPLACE TEMP VIEW placed AS
WITH identified AS (
    SELECT enrollment_id, any_value(user_id) AS user_id, any_value(course_id) AS course_id
    FROM published
    WHERE enrollment_id IS NOT NULL
    GROUP BY enrollment_id
    HAVING count(*) = 1
)

SELECT
    coalesce(received.user_id, identified.user_id) AS user_id,
    coalesce(received.course_id, identified.course_id) AS course_id,
    received.source,
    received.raw_status,
    received.is_large
FROM raw_statuses AS received
LEFT JOIN identified
    ON
        identified.enrollment_id = received.enrollment_id
        AND coalesce(received.user_id = identified.user_id, TRUE)
        AND coalesce(received.course_id = identified.course_id, TRUE)
