"""From the bytes of an answer to Arrow batches: schema, flattening, rejection. Pure: no network, no files."""
