"""The cases of the logger."""
