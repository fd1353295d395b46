"""One HTML page about a stored study: its answer in words, its figures and tables, and what reproduces it."""
