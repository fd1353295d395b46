"""Plots of one trial or one cell. Knows numbers and names, not MLflow."""
