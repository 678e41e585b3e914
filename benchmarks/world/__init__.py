"""The account that the benchmarks pull: pages rendered before, and a server that only hands them out.

Belongs here: the data and its server. Not here: Truto's behavior, which the sandbox of the package imitates.
"""
