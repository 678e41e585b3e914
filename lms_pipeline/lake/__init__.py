"""The Parquet tree: audited, published in one step, read; and the warehouse over it."""
