-- Each pair of learner and course, where raw and unified have the same pairs in the same order, and none twice.
-- View: placed, published.
CREATE OR REPLACE TEMP VIEW paired AS
SELECT
    unified.user_id,
    unified.course_id,
    1 AS rows_raw,
    1 AS rows_unified,
    placed.raw_status,
    unified.status,
    placed.is_large
FROM (SELECT user_id, course_id, status FROM published) AS unified
POSITIONAL JOIN (SELECT raw_status, is_large FROM placed) AS placed
