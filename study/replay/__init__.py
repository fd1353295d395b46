"""A recorded study run again without training: curves of its trials, the ledger's own code, a made clock."""
