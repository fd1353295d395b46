"""Batch transforms between augmentation and normalisation, one file each."""
