"""Post-hoc changes of trained heads, one file each."""
