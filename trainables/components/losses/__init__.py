"""Losses as pure functions of logits and labels, one file a family.

Every loss takes logits (B, K) and int64 labels (B,) on the logits' device and returns one value per example,
shape (B,), in nats, unreduced. Half and bfloat16 logits are promoted to float32; float64 stays. Class weights
multiply outside. Import each from its file: ``from trainables.components.losses.focal_loss import focal_loss``.
"""
