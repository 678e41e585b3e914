"""What is stored: tables, columns, keys and lineage as plain data. Imports nothing else of the package but `errors`."""
