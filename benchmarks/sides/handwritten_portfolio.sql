-- What a person would write for portfolio_completion: sums of counts, and quotients of the sums. Parameter: accounts, the
-- files of account_completion.
WITH sums AS (
    SELECT
        count(*) AS accounts,
        sum(
            COLUMNS(
                '^(learners|n_.*|status_.*|.*_num|.*_den|.*_28d|days_to_complete_n|faulty_.*|progress_n|after_day'
                || '|left_out_by_.*|rows_.*|sentinel_dates)$'
            )
        ) AS '\1',
        sum(time_spent_hours) AS time_spent_hours,
        min(oldest_fetched_at) AS oldest_fetched_at
    FROM read_parquet($accounts, hive_partitioning = false)
)
SELECT
    *,
    0 AS accounts_missing,
    completion_rate_num / nullif(completion_rate_den, 0) AS completion_rate,
    completion_rate_eligible_num / nullif(completion_rate_eligible_den, 0) AS completion_rate_eligible,
    completion_rate_started_num / nullif(completion_rate_started_den, 0) AS completion_rate_started,
    ever_completion_rate_num / nullif(ever_completion_rate_den, 0) AS ever_completion_rate,
    learner_completion_rate_num / nullif(learner_completion_rate_den, 0) AS learner_completion_rate,
    start_rate_num / nullif(start_rate_den, 0) AS start_rate,
    CASE WHEN status_passed + status_failed > 0 THEN pass_rate_num / nullif(pass_rate_den, 0) END AS pass_rate,
    withdrawal_rate_num / nullif(withdrawal_rate_den, 0) AS withdrawal_rate,
    on_time_rate_num / nullif(on_time_rate_den, 0) AS on_time_rate,
    overdue_rate_num / nullif(overdue_rate_den, 0) AS overdue_rate,
    compliance_rate_num / nullif(compliance_rate_den, 0) AS compliance_rate,
    learner_compliance_rate_num / nullif(learner_compliance_rate_den, 0) AS learner_compliance_rate,
    NULL AS days_to_complete_p50,
    NULL AS days_to_complete_p90,
    NULL AS progress_mean
FROM sums
