"""Retention: what expires when, and its removal. No Dagster.

Published tables do not expire; a person can remove a wrong snapshot (`wrong_snapshots.py`). Rejected records lose their
payloads and keep their reasons.
"""
