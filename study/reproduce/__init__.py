"""Reproductions: the papers' published figures, the studies that train them again, and both side by side."""
