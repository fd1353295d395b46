"""Losses as pure functions of logits (or features) and labels, one file per family.

Every loss takes logits (B, K) and int64 labels (B,) on the same device and returns the unreduced loss per example,
shape (B,), in nats. Float16 and bfloat16 logits are promoted to float32; float64 is kept. Class weights are applied
by the caller. Import a loss from its file: ``from trainables.components.losses.focal_loss import focal_loss``.
"""
