"""Launchers of the extra `distributed`, with the real services or a stand-in of their API."""
