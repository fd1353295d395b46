"""Space of complement objective training: the paper has nothing to tune."""

from search_spaces.dimension import Space

COT: Space = {}
