-- The rows of the account and of its courses, which are few: one query computes both.
-- Here: when they are computed. Not here: how (counts.sql, people.sql, rates.sql). View: completion (rates.sql).

SET VARIABLE counted_scopes = ['account', 'course'];
CREATE TEMP TABLE summaries AS
FROM completion;
SET VARIABLE counted_scopes = ['learner'];
