-- The same as deduplicate.sql, with the names, e-mails and titles that an enrollment lacks from the users and courses lists;
-- an empty list of e-mails is none. A carried enrollment has those of the lists before its own, which are of another day.
SELECT
    piece.* EXCLUDE (_position, _key) REPLACE (
        CASE
            WHEN piece.source = 'carried' THEN coalesce(learner.user_name, piece.user_name)
            ELSE coalesce(piece.user_name, learner.user_name)
        END AS user_name,
        CASE
            WHEN piece.source = 'carried' THEN coalesce(learner.user_email, piece.user_email)
            ELSE coalesce(piece.user_email, learner.user_email)
        END AS user_email,
        CASE
            WHEN piece.source = 'carried' THEN coalesce(learner.user_emails, piece.user_emails)
            WHEN len(piece.user_emails) > 0 THEN piece.user_emails
            ELSE coalesce(learner.user_emails, piece.user_emails)
        END AS user_emails,
        CASE
            WHEN piece.source = 'carried' THEN coalesce(course.course_title, piece.course_title)
            ELSE coalesce(piece.course_title, course.course_title)
        END AS course_title
    )
FROM piece
LEFT JOIN read_parquet($learners) AS learner ON learner.user_id = piece.user_id
LEFT JOIN read_parquet($courses) AS course ON course.course_id = piece.course_id
WHERE piece._position NOT IN (SELECT _position FROM dropped)
ORDER BY piece._position
