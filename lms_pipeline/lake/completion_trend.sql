-- How the rates of the portfolio, of each account and of each course change: one row for each day that each of them has.
-- Here: the view `completion_trend`, in the warehouse and in `lake.read`. Not here: the rates, which are stored.
-- Tables: portfolio_completion, account_completion, course_completion.

WITH accounts_of_day AS (
    SELECT
        snapshot_date,
        list(account_id ORDER BY account_id) AS members,
        list(account_id ORDER BY account_id) FILTER (rows_reconstructed > 0) AS reconstructed
    FROM account_completion
    GROUP BY snapshot_date
),

all_scopes AS (
    SELECT
        'portfolio' AS scope,
        -- A row that is not computed again yet is of other accounts, which are not known: it is compared with nothing.
        CASE WHEN accounts = len(members) THEN members END AS members,
        reconstructed,
        portfolio_completion.*
    FROM portfolio_completion
    LEFT JOIN accounts_of_day USING (snapshot_date)
    UNION ALL BY NAME
    SELECT 'account' AS scope, [account_id] AS members, *
    FROM account_completion
    UNION ALL BY NAME
    SELECT 'course' AS scope, [account_id] AS members, *
    FROM course_completion
),

-- One value for all figures of a row, so that one window finds all that a row is compared with.
rows_of_scope AS (
    SELECT
        scope,
        account_id,
        course_id,
        course_title,
        snapshot_date,
        {
            'snapshot_date': snapshot_date,
            'members': members,
            -- of the portfolio the accounts that are reconstructed; else the account, if the row is
            'reconstructed': CASE
                WHEN scope = 'portfolio' THEN coalesce(reconstructed, [])
                WHEN rows_reconstructed > 0 THEN members
                ELSE []
            END,
            'n_all': n_all,
            'n_completed': n_completed,
            'completion_rate': completion_rate,
            'completion_rate_eligible': completion_rate_eligible,
            'completion_rate_started': completion_rate_started,
            'ever_completion_rate': ever_completion_rate,
            'learner_completion_rate': learner_completion_rate,
            'start_rate': start_rate,
            'pass_rate': pass_rate,
            'withdrawal_rate': withdrawal_rate,
            'on_time_rate': on_time_rate,
            'overdue_rate': overdue_rate,
            'compliance_rate': compliance_rate,
            'learner_compliance_rate': learner_compliance_rate
        } AS present
    FROM all_scopes
),

compared AS (
    SELECT
        *,
        lag(snapshot_date) OVER (of_scope ORDER BY snapshot_date) AS previous_date,
        -- The snapshot of that very day, else the latest of the 3 days before it.
        last_value(present) OVER (
            of_scope ORDER BY snapshot_date RANGE BETWEEN INTERVAL 10 DAYS PRECEDING AND INTERVAL 7 DAYS PRECEDING
        ) AS found_7d,
        last_value(present) OVER (
            of_scope ORDER BY snapshot_date RANGE BETWEEN INTERVAL 31 DAYS PRECEDING AND INTERVAL 28 DAYS PRECEDING
        ) AS found_28d
    FROM rows_of_scope
    WINDOW of_scope AS (PARTITION BY scope, account_id, course_id)
),

comparable AS (
    SELECT
        *,
        -- NULL if they can't be compared: every change is NULL then.
        CASE
            WHEN found_7d.members = present.members AND found_7d.reconstructed = present.reconstructed THEN found_7d
        END AS before_7d,
        CASE
            WHEN found_28d.members = present.members AND found_28d.reconstructed = present.reconstructed THEN found_28d
        END AS before_28d
    FROM compared
)

SELECT
    scope,
    account_id,
    course_id,
    course_title,
    snapshot_date,
    previous_date,
    snapshot_date - previous_date AS gap_days,
    found_7d.snapshot_date AS compared_7d,
    found_28d.snapshot_date AS compared_28d,
    coalesce(found_7d.reconstructed != present.reconstructed, false)
    OR coalesce(found_28d.reconstructed != present.reconstructed, false) AS is_break,
    present.n_all AS n_all,
    present.n_completed AS n_completed,
    present.completion_rate AS completion_rate,
    present.completion_rate_eligible AS completion_rate_eligible,
    present.completion_rate_started AS completion_rate_started,
    present.ever_completion_rate AS ever_completion_rate,
    present.learner_completion_rate AS learner_completion_rate,
    present.start_rate AS start_rate,
    present.pass_rate AS pass_rate,
    present.withdrawal_rate AS withdrawal_rate,
    present.on_time_rate AS on_time_rate,
    present.overdue_rate AS overdue_rate,
    present.compliance_rate AS compliance_rate,
    present.learner_compliance_rate AS learner_compliance_rate,
    present.completion_rate - before_7d.completion_rate AS completion_rate_change_7d,
    present.completion_rate - before_28d.completion_rate AS completion_rate_change_28d,
    present.completion_rate_eligible - before_7d.completion_rate_eligible AS completion_rate_eligible_change_7d,
    present.completion_rate_eligible - before_28d.completion_rate_eligible AS completion_rate_eligible_change_28d,
    present.completion_rate_started - before_7d.completion_rate_started AS completion_rate_started_change_7d,
    present.completion_rate_started - before_28d.completion_rate_started AS completion_rate_started_change_28d,
    present.ever_completion_rate - before_7d.ever_completion_rate AS ever_completion_rate_change_7d,
    present.ever_completion_rate - before_28d.ever_completion_rate AS ever_completion_rate_change_28d,
    present.learner_completion_rate - before_7d.learner_completion_rate AS learner_completion_rate_change_7d,
    present.learner_completion_rate - before_28d.learner_completion_rate AS learner_completion_rate_change_28d,
    present.start_rate - before_7d.start_rate AS start_rate_change_7d,
    present.start_rate - before_28d.start_rate AS start_rate_change_28d,
    present.pass_rate - before_7d.pass_rate AS pass_rate_change_7d,
    present.pass_rate - before_28d.pass_rate AS pass_rate_change_28d,
    present.withdrawal_rate - before_7d.withdrawal_rate AS withdrawal_rate_change_7d,
    present.withdrawal_rate - before_28d.withdrawal_rate AS withdrawal_rate_change_28d,
    present.on_time_rate - before_7d.on_time_rate AS on_time_rate_change_7d,
    present.on_time_rate - before_28d.on_time_rate AS on_time_rate_change_28d,
    present.overdue_rate - before_7d.overdue_rate AS overdue_rate_change_7d,
    present.overdue_rate - before_28d.overdue_rate AS overdue_rate_change_28d,
    present.compliance_rate - before_7d.compliance_rate AS compliance_rate_change_7d,
    present.compliance_rate - before_28d.compliance_rate AS compliance_rate_change_28d,
    present.learner_compliance_rate - before_7d.learner_compliance_rate AS learner_compliance_rate_change_7d,
    present.learner_compliance_rate - before_28d.learner_compliance_rate AS learner_compliance_rate_change_28d,
    present.n_all - before_7d.n_all AS n_all_change_7d,
    present.n_all - before_28d.n_all AS n_all_change_28d,
    present.n_completed - before_7d.n_completed AS n_completed_change_7d,
    present.n_completed - before_28d.n_completed AS n_completed_change_28d
FROM comparable
