-- The rows of a completion table: counts, NULL if they are not known of the account, and the rates over them.
-- Here: "known or not", and each rate as one count over another. Not here: how anything is counted.
-- Tables and views: counts, known (counts.sql), people (people.sql).

CREATE TEMP MACRO if_known(is_known, figure) AS CASE WHEN is_known THEN figure END;

-- NULL if the denominator is zero: without anything to divide there is no rate, not a rate of 0.
CREATE TEMP MACRO rate(numerator, denominator) AS numerator::DOUBLE / nullif(denominator, 0);

CREATE TEMP VIEW completion AS
WITH known_counts AS (
    SELECT
        counts.* REPLACE (
            if_known(knows_due, n_due) AS n_due,
            if_known(knows_due, n_on_time) AS n_on_time,
            if_known(knows_due, n_late) AS n_late,
            if_known(knows_due, n_due_undated) AS n_due_undated,
            if_known(knows_due, n_due_open) AS n_due_open,
            if_known(knows_due, n_due_failed) AS n_due_failed,
            if_known(knows_due, n_due_withdrawn) AS n_due_withdrawn,
            if_known(knows_due, n_due_expired) AS n_due_expired,
            if_known(knows_due, n_due_unknown) AS n_due_unknown,
            if_known(knows_due, n_overdue) AS n_overdue,
            if_known(knows_due, n_overdue_dated) AS n_overdue_dated,
            if_known(knows_due, n_open_dated) AS n_open_dated,
            if_known(knows_mandatory, n_required) AS n_required,
            if_known(knows_mandatory, n_required_completed) AS n_required_completed,
            if_known(knows_mandatory, n_mandatory_withdrawn) AS n_mandatory_withdrawn,
            if_known(knows_mandatory AND knows_due, n_required_not_due) AS n_required_not_due,
            if_known(knows_due, n_due_by_rule) AS n_due_by_rule,
            if_known(knows_mandatory, n_required_by_rule) AS n_required_by_rule,
            if_known(knows_score, score_mean) AS score_mean,
            if_known(knows_score, score_n) AS score_n,
            if_known(knows_time, time_spent_hours) AS time_spent_hours
        ),
        coalesce(people.learners, 0) AS learners,
        coalesce(n_pairs_eligible, 0) AS n_pairs_eligible,
        coalesce(n_pairs_ever_completed, 0) AS n_pairs_ever_completed,
        if_known(knows_mandatory, coalesce(n_learners_required, 0)) AS n_learners_required,
        if_known(knows_mandatory, coalesce(n_learners_compliant, 0)) AS n_learners_compliant,
        knows_withdrawn
    FROM counts
    LEFT JOIN people ON people.scope = counts.scope AND people.row_id IS NOT DISTINCT FROM counts.row_id
    CROSS JOIN known
)

SELECT
    *,
    CASE WHEN scope = 'course' THEN row_id END AS course_id,
    CASE WHEN scope = 'learner' THEN row_id END AS user_id,

    n_completed AS completion_rate_num,
    n_all AS completion_rate_den,
    rate(completion_rate_num, completion_rate_den) AS completion_rate,

    n_completed AS completion_rate_eligible_num,
    n_eligible AS completion_rate_eligible_den,
    rate(completion_rate_eligible_num, completion_rate_eligible_den) AS completion_rate_eligible,

    n_completed AS completion_rate_started_num,
    n_started AS completion_rate_started_den,
    rate(completion_rate_started_num, completion_rate_started_den) AS completion_rate_started,

    n_ever_completed AS ever_completion_rate_num,
    n_eligible AS ever_completion_rate_den,
    rate(ever_completion_rate_num, ever_completion_rate_den) AS ever_completion_rate,

    n_pairs_ever_completed AS learner_completion_rate_num,
    n_pairs_eligible AS learner_completion_rate_den,
    rate(learner_completion_rate_num, learner_completion_rate_den) AS learner_completion_rate,

    n_eligible_started AS start_rate_num,
    n_eligible AS start_rate_den,
    rate(start_rate_num, start_rate_den) AS start_rate,

    -- Without a passed or failed enrollment nothing shows that there was an assessment: the counts stay, the rate is NULL.
    n_completed AS pass_rate_num,
    n_finished AS pass_rate_den,
    CASE WHEN status_passed + status_failed > 0 THEN rate(pass_rate_num, pass_rate_den) END AS pass_rate,

    if_known(knows_withdrawn, status_withdrawn) AS withdrawal_rate_num,
    if_known(knows_withdrawn, n_all) AS withdrawal_rate_den,
    rate(withdrawal_rate_num, withdrawal_rate_den) AS withdrawal_rate,

    n_on_time AS on_time_rate_num,
    n_due AS on_time_rate_den,
    rate(on_time_rate_num, on_time_rate_den) AS on_time_rate,

    n_overdue_dated AS overdue_rate_num,
    n_open_dated AS overdue_rate_den,
    rate(overdue_rate_num, overdue_rate_den) AS overdue_rate,

    n_required_completed AS compliance_rate_num,
    n_required AS compliance_rate_den,
    rate(compliance_rate_num, compliance_rate_den) AS compliance_rate,

    n_learners_compliant AS learner_compliance_rate_num,
    n_learners_required AS learner_compliance_rate_den,
    rate(learner_compliance_rate_num, learner_compliance_rate_den) AS learner_compliance_rate
FROM known_counts;
