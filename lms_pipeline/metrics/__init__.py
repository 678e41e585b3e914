"""Completion metrics: SQL over the enrollments of a partition, each rate with its numerator and denominator."""
