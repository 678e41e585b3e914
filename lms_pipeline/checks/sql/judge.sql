-- The judgement of a pair of learner and course. The status in raw is compared if it is a known word. Pairs with several
-- rows are not compared: nothing shows which raw row belongs to which enrollment.
-- Variables: completed_statuses, open_statuses (words).
CREATE OR REPLACE TEMP MACRO judge_word(word, status) AS CASE
    WHEN list_contains(getvariable('completed_statuses'), word) AND status IN ('assigned', 'enrolled', 'in_progress', 'overdue')
        THEN 'completed_in_raw_alone'
    WHEN list_contains(getvariable('open_statuses'), word) AND status IN ('completed', 'passed')
        THEN 'completed_in_unified_alone'
    WHEN list_contains(getvariable('completed_statuses'), word) OR list_contains(getvariable('open_statuses'), word)
        THEN 'agrees'
    ELSE 'not_compared'
END;

CREATE OR REPLACE TEMP MACRO judge(rows_raw, rows_unified, raw_status, status) AS CASE
    WHEN rows_raw = 0 THEN 'unified_alone'
    WHEN rows_unified = 0 THEN 'raw_alone'
    WHEN rows_raw > 1 OR rows_unified > 1 THEN 'not_compared'
    ELSE judge_word(replace(replace(lower(trim(raw_status)), '_', ' '), '-', ' '), status)
END
