-- The same as settle.sql, with the names, e-mails and titles that an enrollment lacks from the users and courses lists.
SELECT
    piece.* EXCLUDE (_position, _key) REPLACE (
        coalesce(piece.user_name, learner.user_name) AS user_name,
        coalesce(piece.user_email, learner.user_email) AS user_email,
        coalesce(piece.user_emails, learner.user_emails) AS user_emails,
        coalesce(piece.course_title, course.course_title) AS course_title
    )
FROM piece
LEFT JOIN read_parquet($learners) AS learner ON learner.user_id = piece.user_id
LEFT JOIN read_parquet($courses) AS course ON course.course_id = piece.course_id
WHERE piece._position NOT IN (SELECT _position FROM dropped)
ORDER BY piece._position
