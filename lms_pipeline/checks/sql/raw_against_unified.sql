-- Each learner and course in one file or both, judged: how many of each judgement, and the first of them.
-- What raw says of completion is looked for under the names that LMSs use, and read where it is a word we know; pairs
-- with several rows are not compared, since nothing tells which raw row is which enrollment's.
-- Parameters: raw, keys (JSON paths), done, undone (words), most.
WITH raw AS (
    SELECT
        user_id,
        course_id,
        count(*) AS times,
        any_value(
            CASE
                WHEN json_valid(payload)
                    THEN list_filter(json_extract_string(payload, $keys), lambda told: told IS NOT NULL)[1]
            END
        ) AS raw_status
    FROM read_parquet($raw, hive_partitioning = false)
    WHERE user_id IS NOT NULL AND course_id IS NOT NULL
    GROUP BY ALL
),

unified AS (
    SELECT user_id, course_id, count(*) AS times, any_value(status) AS status
    FROM published
    GROUP BY ALL
),

paired AS (
    SELECT
        user_id,
        course_id,
        raw.times AS times_raw,
        unified.times AS times_unified,
        raw_status,
        status,
        replace(replace(lower(trim(raw_status)), '_', ' '), '-', ' ') AS word
    FROM raw
    FULL JOIN unified USING (user_id, course_id)
),

judged AS (
    SELECT
        user_id,
        course_id,
        left(raw_status, 40) AS raw_status,
        status,
        CASE
            WHEN times_raw IS NULL THEN 'unified alone'
            WHEN times_unified IS NULL THEN 'raw alone'
            WHEN times_raw > 1 OR times_unified > 1 THEN 'not compared'
            WHEN list_contains($done, word) AND status IN ('assigned', 'enrolled', 'in_progress', 'overdue')
                THEN 'completed in raw alone'
            WHEN list_contains($undone, word) AND status IN ('completed', 'passed') THEN 'completed in unified alone'
            WHEN list_contains($done, word) OR list_contains($undone, word) THEN 'agrees'
            ELSE 'not compared'
        END AS judgement
    FROM paired
)

SELECT judgement, user_id, course_id, raw_status, status, count(*) OVER (PARTITION BY judgement) AS pairs
FROM judged
QUALIFY row_number() OVER (PARTITION BY judgement ORDER BY user_id, course_id) <= $most
ORDER BY judgement, user_id, course_id
