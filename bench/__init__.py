"""Benchmarks: one file a question. Each prints one JSON object and is no part of the tests."""
