-- Each row of a snapshot as of the snapshot's end, and whether it counts.
-- Here: which rows are left out. Not here: what supersedes another (superseded.sql), the sets (classify.sql).
-- View: ruled (rules.sql or without_rules.sql). Variable: snapshot_date.

CREATE TEMP VIEW at_day_end AS
WITH with_later AS (
    SELECT
        *,
        NOT (has_excluded_role OR has_excluded_learner)
        AND coalesce(began_day > getvariable('snapshot_date'), false) AS began_later
    FROM ruled
)

-- The set `all`: the enrollments that count.
SELECT *, NOT (has_excluded_role OR has_excluded_learner OR began_later) AS in_all
FROM with_later;
