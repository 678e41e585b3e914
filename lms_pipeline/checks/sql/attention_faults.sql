-- The rows of attention that can't be, by kind (always sum) and figure; none names a learner.
-- View: published. Table: account (n_open, n_overdue; no row if it is not of the same snapshot).
WITH counted AS (
    SELECT
        count(*) AS n,
        count(*) FILTER (list_contains(string_split(reasons, ','), 'overdue')) AS n_overdue,
        count(*) FILTER (reason <> string_split(reasons, ',')[1]) AS n_other_reason
    FROM published
)

SELECT 'sum' AS kind, 'n_open' AS figure, counted.n - n_open AS rows, format('{} of {} open enrollments', n, n_open) AS first
FROM counted, account
WHERE n > n_open
UNION ALL
SELECT 'sum', 'n_overdue', abs(counted.n_overdue - coalesce(account.n_overdue, 0)),
    format('{} are overdue, and {} of the account', counted.n_overdue, coalesce(account.n_overdue, 0))
FROM counted, account
WHERE counted.n_overdue <> coalesce(account.n_overdue, 0)
UNION ALL
SELECT 'sum', 'reason', n_other_reason, 'a reason is not the first of all reasons'
FROM counted
WHERE n_other_reason > 0
