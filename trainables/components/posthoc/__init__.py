"""Post-hoc adjustments of a trained head's logits, one file each."""
