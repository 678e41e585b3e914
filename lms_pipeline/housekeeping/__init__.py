"""Retention: what expires when, and its removal. No Dagster.

Published tables are never removed. Rejected records lose their payloads and keep their reasons.
"""
