"""Configuration, errors, files, randomness, devices, metrics and the trial folder. Imports no other room."""
