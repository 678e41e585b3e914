-- Learner, course, source, status and enrollment id of the raw enrollments in "raw_part", as the view parsed. The status is
-- read from the names that LMSs use; the id only from records in Truto's raw format, which may not name learner and course.
-- A payload of more than max_bytes has neither, and is_large.
-- Variables: status_paths, id_paths (JSON paths), max_bytes.
CREATE OR REPLACE TEMP VIEW parsed AS
SELECT
    user_id,
    course_id,
    source,
    CASE
        WHEN strlen(payload) <= getvariable('max_bytes')
            THEN TRY(list_any_value(json_extract_string(payload, getvariable('status_paths'))))
    END AS raw_status,
    CASE
        WHEN source = 'raw' AND strlen(payload) <= getvariable('max_bytes')
            THEN TRY(list_any_value(json_extract_string(payload, getvariable('id_paths'))))
    END AS enrollment_id,
    strlen(payload) > getvariable('max_bytes') AS is_large
FROM raw_part
