-- Learner, course, source, status and enrollment id of the raw enrollments in "raw_part", into the table raw_statuses. The
-- status is read from the names that LMSs use; the id only from records in Truto's raw format, which may not name learner
-- and course. Parameters: status_paths, id_paths (JSON paths).
INSERT INTO raw_statuses
SELECT
    user_id,
    course_id,
    source,
    CASE
        WHEN json_valid(payload)
            THEN list_filter(json_extract_string(payload, $status_paths), lambda found: found IS NOT NULL)[1]
    END,
    CASE
        WHEN source = 'raw' AND json_valid(payload)
            THEN list_filter(json_extract_string(payload, $id_paths), lambda found: found IS NOT NULL)[1]
    END
FROM raw_part
