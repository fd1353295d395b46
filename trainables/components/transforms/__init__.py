"""Batch transforms: what changes a batch between augmentation and normalisation, one file each."""
