"""Benchmarks against the code a user would otherwise write."""
