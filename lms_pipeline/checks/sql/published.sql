-- The rows of the file under check. Variables: path.
CREATE OR REPLACE TEMP VIEW published AS
FROM read_parquet(getvariable('path'), hive_partitioning = false)
