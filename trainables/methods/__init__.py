"""Methods: the registry, and one file per family that composes components into a plan."""
