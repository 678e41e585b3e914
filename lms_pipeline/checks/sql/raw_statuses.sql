-- Learner, course and status of the raw enrollments in "some_raw", into the table raw_statuses. The status is read from the
-- names that LMSs use. Parameters: status_paths (JSON paths).
INSERT INTO raw_statuses
SELECT
    user_id,
    course_id,
    CASE
        WHEN json_valid(payload)
            THEN list_filter(json_extract_string(payload, $status_paths), lambda found: found IS NOT NULL)[1]
    END
FROM some_raw
WHERE user_id IS NOT NULL AND course_id IS NOT NULL
