"""Reads for pages: one module a page, returning what the template shows."""
