"""Method families: typed hyperparameters and how each method is composed from losses, heads and samplers."""
