"""Training loop, evaluation and checkpoints. Works on plans and stages and knows no method by name."""
