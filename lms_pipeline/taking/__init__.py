"""The steps of a snapshot: from the answers that a strategy brings to the rows of its tables. No Dagster, no HTTP."""
