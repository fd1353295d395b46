"""Stored studies on disk and how they are read: folder, cells, trials. Needs neither torch nor Ray nor MLflow."""
