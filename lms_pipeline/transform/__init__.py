"""From records to Arrow rows: strict or lenient reading, rejects, deduplication."""
