-- Enrollments of an account: learners of ten each, in 400 courses. Parameters: rows, last_instant.
WITH numbers AS (
    SELECT
        i,
        hash(i) % 1000 AS of_status,
        hash(i * 7 + 1) % 1000000 AS millionths,
        hash(i * 13 + 2) % 1000 AS thousandths,
        (hash(i * 17 + 3) % 34560000)::BIGINT AS age_seconds,
        hash(i * 19 + 5) % 400 AS course
    FROM range($rows) AS range(i)
),
events AS (
    SELECT
        *,
        CASE
            WHEN of_status < 350 THEN 'completed'
            WHEN of_status < 570 THEN 'in_progress'
            WHEN of_status < 720 THEN 'enrolled'
            WHEN of_status < 800 THEN 'passed'
            WHEN of_status < 850 THEN 'failed'
            WHEN of_status < 890 THEN 'expired'
            WHEN of_status < 930 THEN 'withdrawn'
            WHEN of_status < 970 THEN 'assigned'
            ELSE 'overdue'
        END AS status,
        status NOT IN ('enrolled', 'assigned') AS has_started,
        status IN ('completed', 'passed', 'failed') AS has_ended,
        $last_instant - to_seconds(age_seconds) AS enrolled_at,
        enrolled_at + to_seconds((age_seconds * millionths // 1000000)::BIGINT) AS active_at
    FROM numbers
)
SELECT
    'e' || lpad(i::VARCHAR, 9, '0') AS enrollment_id,
    'u' || (i // 10) AS user_id,
    'Learner ' || (i // 10) AS user_name,
    'learner' || (i // 10) || '@example.org' AS user_email,
    [{email: 'learner' || (i // 10) || '@example.org', is_primary: true, type: 'work'}] AS user_emails,
    'c' || course AS course_id,
    'Course ' || course AS course_title,
    status,
    status AS status_raw,
    CASE WHEN status IN ('completed', 'passed') THEN 100 WHEN has_started THEN thousandths / 10 ELSE 0 END::DOUBLE
        AS progress_percent,
    CASE WHEN has_ended AND thousandths < 600 THEN 40 + millionths / 16667 END::DOUBLE AS score,
    course % 10 < 4 AS is_mandatory,
    1 AS attempt_number,
    1 AS attempts_count,
    enrolled_at,
    CASE WHEN has_started THEN enrolled_at + INTERVAL 1 HOUR END AS started_at,
    CASE WHEN has_ended OR (status = 'expired' AND thousandths < 500) THEN active_at END AS completed_at,
    CASE WHEN course % 10 < 4 THEN date_trunc('day', enrolled_at + INTERVAL 60 DAY) END AS due_at,
    CASE WHEN has_started THEN active_at END AS last_activity_at,
    enrolled_at AS created_at,
    active_at AS updated_at,
    CASE WHEN has_started THEN millionths // 25 ELSE 0 END AS time_spent_seconds,
    CASE WHEN thousandths < 980 THEN 'learner' ELSE 'instructor' END AS "role",
    'unified' AS source,
    $last_instant AS fetched_at
FROM events
-- blocks of 2,000 in an order of their own, as in a list that is sorted by something else
ORDER BY hash(i // 2000), i
