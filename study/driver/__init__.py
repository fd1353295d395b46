"""Running and resuming a study: checks, Ray Tune, progress. The one room of study that imports Ray."""
