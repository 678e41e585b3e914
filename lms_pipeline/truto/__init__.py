"""Client of the Truto API: queries, pages, retries, rate limits, errors. It knows nothing of snapshots."""
