-- The rows of a file under check whose columns are not those of its table; those that it lacks are null.
-- Variables: path. View: described, empty, with the columns of the table.
CREATE OR REPLACE TEMP VIEW published AS
FROM described
UNION ALL BY NAME
FROM read_parquet(getvariable('path'), hive_partitioning = false)
