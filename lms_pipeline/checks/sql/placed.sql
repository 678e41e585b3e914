-- The raw enrollments, if none is in Truto's raw format: each has its learner and course. View: parsed.
CREATE OR REPLACE TEMP VIEW placed AS
FROM parsed
