"""Ways to start a training: under Ray Tune or on its own. The one room of trainables that imports Ray."""
