"""The functions behind the command ``study``, one file per kind of work."""
