"""Turn records into Arrow rows: strict or lenient reading, rejected records, rosters, deduplication."""
