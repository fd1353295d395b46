"""Methods without values of their own: only what the study file searches of the training itself."""

from search_spaces.dimension import Space

NOTHING: Space = {}
