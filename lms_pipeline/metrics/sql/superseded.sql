-- Which of a learner's enrollments in a course are superseded by a later one.
-- Here: what is later. Not here: what it changes (renewals.sql, classify.sql).
-- Views: served (dates.sql), at_day_end (at_day_end.sql).

-- Pairs of learner and course with several rows, by a hash: a pair more does no harm.
CREATE TEMP TABLE repeated AS
SELECT hash(user_id, course_id) AS pair
FROM served
GROUP BY pair
HAVING count(*) > 1;

-- The enrollments of these pairs, the latest first. If all columns are equal, neither is later. The day goes first: west
-- of Greenwich a date without a time is an instant of the day before.
CREATE TEMP TABLE ranked AS
SELECT
    file_row_number,
    rank() OVER (
        PARTITION BY user_id, course_id
        ORDER BY began_day DESC NULLS LAST, began DESC NULLS LAST, attempt_number DESC NULLS LAST, enrollment_id DESC NULLS LAST
    ) AS place
FROM at_day_end
SEMI JOIN repeated ON repeated.pair = hash(user_id, course_id)
WHERE in_all;

CREATE TEMP VIEW placed AS
SELECT
    at_day_end.*,
    coalesce(place > 1, false) AS in_superseded,
    place IS NOT NULL AS in_repeated
FROM at_day_end
LEFT JOIN ranked USING (file_row_number);
