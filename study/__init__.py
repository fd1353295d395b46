"""Studies: what a study file says, how it runs, and what is found in it. Imports search_spaces and trainables."""
