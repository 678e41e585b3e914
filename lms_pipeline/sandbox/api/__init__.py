"""The routes of the API over HTTP."""
