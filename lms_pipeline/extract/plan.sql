-- The kind of each pair, in the order in which calls are spent: new, changed, rotation, carried.
-- "found" holds the pairs of today, "fingerprints" and "previous" what the previous published snapshot knew of them.
CREATE TABLE plan AS
WITH today AS (
    -- of a pair that is listed twice the last entry counts
    SELECT user_id, course_id, payload, fetched_at, position AS found_position, unhex(sha256(payload)[:32]) AS detail_hash
    FROM found
    QUALIFY row_number() OVER (PARTITION BY user_id, course_id ORDER BY position DESC) = 1
),

compared AS (
    SELECT
        today.*,
        coalesce(previous.fetched_at, fingerprints.asked_at) AS asked_at,
        coalesce(fingerprints.is_absent, FALSE) AS was_absent,
        CASE
            WHEN
                fingerprints.is_absent
                AND previous.source IS NULL
                AND fingerprints.detail_hash = today.detail_hash
                AND $may_carry
                THEN 'unchanged'
            WHEN previous.source IS NULL OR previous.source = 'roster' THEN 'new'
            WHEN fingerprints.detail_hash IS DISTINCT FROM today.detail_hash OR NOT $may_carry THEN 'changed'
            ELSE 'unchanged'
        END AS state
    FROM today
    LEFT JOIN fingerprints USING (user_id, course_id)
    LEFT JOIN previous USING (user_id, course_id)
),

-- of the unchanged pairs, those fetched longest ago come first: each pair is fetched once in $rotation_days days
ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY state ORDER BY asked_at, found_position) AS rank,
        count(*) OVER (PARTITION BY state) AS pairs_in_state
    FROM compared
),

classified AS (
    SELECT
        * EXCLUDE (state, rank, pairs_in_state, was_absent),
        was_absent AND state = 'unchanged' AS is_absent,
        CASE
            WHEN state <> 'unchanged' THEN state
            WHEN $rotation_days > 0 AND rank <= ceil(pairs_in_state / greatest($rotation_days, 1)) THEN 'rotation'
            ELSE 'carried'
        END AS kind
    FROM ranked
)

SELECT
    row_number() OVER (
        ORDER BY list_position(['new', 'changed', 'rotation', 'carried'], kind), found_position
    ) - 1 AS position,
    * EXCLUDE (found_position),
    FALSE AS is_fetched
FROM classified
ORDER BY position
