"""Plots of one trial, one cell or one study. Works on numbers and names, without MLflow."""
