"""Batch transforms, one file each."""
