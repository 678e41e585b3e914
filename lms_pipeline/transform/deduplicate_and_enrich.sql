-- As deduplicate.sql; names, e-mails and titles that an enrollment lacks come from the users and courses lists. An empty
-- list of e-mails counts as missing. A carried enrollment is of another day: the lists have precedence over its values.
SELECT
    row_group.* EXCLUDE (_position) REPLACE (
        CASE
            WHEN row_group.source = 'carried' THEN coalesce(learner.user_name, row_group.user_name)
            ELSE coalesce(row_group.user_name, learner.user_name)
        END AS user_name,
        CASE
            WHEN row_group.source = 'carried' THEN coalesce(learner.user_email, row_group.user_email)
            ELSE coalesce(row_group.user_email, learner.user_email)
        END AS user_email,
        CASE
            WHEN row_group.source = 'carried' THEN coalesce(learner.user_emails, row_group.user_emails)
            WHEN len(row_group.user_emails) > 0 THEN row_group.user_emails
            ELSE coalesce(learner.user_emails, row_group.user_emails)
        END AS user_emails,
        CASE
            WHEN row_group.source = 'carried' THEN coalesce(course.course_title, row_group.course_title)
            ELSE coalesce(row_group.course_title, course.course_title)
        END AS course_title
    )
FROM row_group
LEFT JOIN read_parquet($learners) AS learner ON learner.user_id = row_group.user_id
LEFT JOIN read_parquet($courses) AS course ON course.course_id = row_group.course_id
WHERE row_group._position NOT IN (SELECT _position FROM dropped)
ORDER BY row_group._position
