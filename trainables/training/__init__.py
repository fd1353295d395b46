"""The training loop, its evaluation and its checkpoints. Sees plans and stages, never a method by name."""
