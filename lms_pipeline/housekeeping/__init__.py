"""What is kept for how long, and removing what is past it: a plan first, which a dry run shows. No Dagster.

The published tables are never removed; of rejected records the payloads go, and their reasons stay.
"""
