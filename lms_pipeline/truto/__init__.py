"""The client of the Truto API: auth, query, pages, retries, errors. Nothing here knows what is asked for, or why."""
