"""Answers from kept logits, without training: calibration, ensembles over seeds, logit adjustment."""
