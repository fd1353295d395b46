"""Replays recorded studies under other search settings, without training. Imports driver and ledger, not Ray."""
