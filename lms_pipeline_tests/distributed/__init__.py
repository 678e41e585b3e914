"""The extra `distributed`: launchers, buckets and PostgreSQL, with the real services or a stand-in of their API."""
