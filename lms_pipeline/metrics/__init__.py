"""Completion metrics: SQL over one partition's enrollments, each rate with its numerator and denominator."""
