"""From stored images to batches on the device: streaming, crops, flips, normalisation."""
