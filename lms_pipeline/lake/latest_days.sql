-- One look into an index for each account, and one for its latest day: a year of 10,000 accounts has 3,650,000 rows.
WITH RECURSIVE accounts (account) AS (
    SELECT min(account) FROM lms.published
    UNION ALL
    SELECT (SELECT min(following.account) FROM lms.published AS following WHERE following.account > accounts.account)
    FROM accounts
    WHERE accounts.account IS NOT NULL
)
SELECT
    account,
    (
        SELECT max(one.day) FROM lms.published AS one
        WHERE one.account = accounts.account AND one.tables & ? <> 0
    ) AS latest
FROM accounts
WHERE account IS NOT NULL
ORDER BY account
