"""Checks of published files: each reads files and returns a finding, one sentence with the numbers.

Belongs here: what is checked after publication. The audit before it is `lake/publishing.py`; Dagster's side is
`defs/asset_checks.py`. A finding shows rows only by their ids, never a name or an e-mail.
"""
