"""Stored studies on disk and read access to them: folder, cells, trials. Imports neither torch nor Ray nor MLflow."""
