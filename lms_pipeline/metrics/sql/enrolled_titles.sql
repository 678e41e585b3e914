-- The title of each course with an enrollment, from the most recent response with a title; rules match it.
-- Here: the same title as in course_completion (counts.sql), but of all enrollments: a rule decides which of them count.
-- Variable: path.
SELECT course_id, arg_max(course_title, (latest_at, course_title)) AS course_title
FROM (
    SELECT course_id, course_title, max(fetched_at) AS latest_at
    FROM read_parquet(getvariable('path'), hive_partitioning = false)
    GROUP BY ALL
)
GROUP BY course_id
