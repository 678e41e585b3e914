"""Which requests make a snapshot, and asking them. No Dagster, no files of the lake."""
