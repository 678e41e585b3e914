-- Add the raw enrollments in "raw_part" to the table raw_statuses. View: parsed.
INSERT INTO raw_statuses
FROM parsed
