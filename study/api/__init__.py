"""The Python interface: a study as an object, its results as data frames, one training, a trained network."""
