"""Recorded studies run again without training, under other search settings. Imports driver and ledger, no Ray."""
