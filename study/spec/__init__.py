"""The study file: its schema, its validation, and the cells it expands to. Knows nothing of any run."""
