-- One row for each pair that a roster lists, in the columns of ROSTER_FINGERPRINTS.
SELECT user_id, course_id, detail_hash, is_absent, if(is_fetched, fetched_at, asked_at) AS asked_at
FROM plan
WHERE payload <> ''
