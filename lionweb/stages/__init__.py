"""The stages of an iteration, one module a kind of work."""
