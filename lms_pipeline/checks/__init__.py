"""Checks of published files: each returns a finding, which shows rows only by their ids, never a name or an e-mail.

Belongs here: what is checked after publication. Not here: the audit before it (`lake/publishing.py`).
"""
