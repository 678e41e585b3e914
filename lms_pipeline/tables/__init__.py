"""What is stored: tables, columns, keys and lineage as plain data. It imports nothing of ours but errors."""
