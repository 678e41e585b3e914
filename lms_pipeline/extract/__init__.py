"""Which requests make a snapshot, and fetching each of them once. No Dagster, no files of the lake."""
