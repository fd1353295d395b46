"""Batch pipeline from stored images to the device: streaming, cropping, flipping, normalisation."""
