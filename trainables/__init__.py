"""Training one trial: methods, networks, data and the training loop. Knows neither Optuna nor MLflow."""
