-- What becomes of each pair, in the order in which calls are spent: new, changed, the rotation's, carried.
-- "found" has the pairs as told today, "details" and "before" what the last published snapshot knew of them.
CREATE TABLE plan AS
WITH today AS (
    -- of a pair that is told twice the last entry counts
    SELECT user_id, course_id, detail, fetched_at, position, unhex(sha256(detail)[:32]) AS detail_hash
    FROM found
    QUALIFY row_number() OVER (PARTITION BY user_id, course_id ORDER BY position DESC) = 1
),

compared AS (
    SELECT
        today.*,
        coalesce(before.fetched_at, details.asked_at) AS asked_at,
        coalesce(details.is_absent, FALSE) AS was_absent,
        CASE
            WHEN
                details.is_absent AND before.source IS NULL AND details.detail_hash = today.detail_hash AND $may_carry
                THEN 'unchanged'
            WHEN before.source IS NULL OR before.source = 'roster' THEN 'new'
            WHEN details.detail_hash IS DISTINCT FROM today.detail_hash OR NOT $may_carry THEN 'changed'
            ELSE 'unchanged'
        END AS state
    FROM today
    LEFT JOIN details USING (user_id, course_id)
    LEFT JOIN before USING (user_id, course_id)
),

-- of the unchanged those are asked again that were asked longest ago, as many a day as it takes to come round in time
turned AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY state ORDER BY asked_at, position) AS turn,
        count(*) OVER (PARTITION BY state) AS in_state
    FROM compared
),

planned AS (
    SELECT
        * EXCLUDE (state, turn, in_state, was_absent),
        was_absent AND state = 'unchanged' AS is_absent,
        CASE
            WHEN state <> 'unchanged' THEN state
            WHEN $rotation_days > 0 AND turn <= ceil(in_state / greatest($rotation_days, 1)) THEN 'rotation'
            ELSE 'carried'
        END AS kind
    FROM turned
)

SELECT
    row_number() OVER (
        ORDER BY list_position(['new', 'changed', 'rotation', 'carried'], kind), position
    ) - 1 AS place,
    *,
    FALSE AS is_answered
FROM planned
ORDER BY place
