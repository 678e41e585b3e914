"""The sections of the report, and its head: pure functions from the content to what `templates/` turns into HTML."""
