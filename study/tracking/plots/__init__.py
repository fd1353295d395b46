"""Plots of one trial or one cell. Works on numbers and names, without MLflow."""
