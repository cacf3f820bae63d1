"""The whole loop from files, in memory: what `python -m distill run` does. No database, no queue, no people."""
