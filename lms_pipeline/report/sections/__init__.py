"""The sections of the report, one module each: a pure function from the content to a `Section`."""
