-- The rows of the file under check; columns that an older file lacks are null.
-- Variables: path. View: described, empty, with the columns of the table.
CREATE OR REPLACE TEMP VIEW published AS
FROM described
UNION ALL BY NAME
FROM read_parquet(getvariable('path'), hive_partitioning = false)
