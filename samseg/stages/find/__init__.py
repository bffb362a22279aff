"""The masks of a lake that are nearest to an example."""
