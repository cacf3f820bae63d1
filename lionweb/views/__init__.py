"""Doors: fetch and authorise, check, call one function, answer."""
