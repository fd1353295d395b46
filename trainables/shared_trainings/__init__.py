"""Trainings that several trials have in common: trained once, stored by fingerprint, found again."""
