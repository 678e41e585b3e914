-- The numbers of the rows in the previous snapshot's file "path" that are carried over, from 0: those of pairs that are not
-- fetched, including pairs of the rotation that no call was left for.
SELECT file_row_number
FROM read_parquet($path, file_row_number = true)
JOIN plan USING (user_id, course_id)
WHERE kind IN ('rotation', 'carried') AND NOT is_fetched
ORDER BY file_row_number
