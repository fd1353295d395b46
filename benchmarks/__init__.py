"""Measured speed, beside what a user would write otherwise."""
