"""Chaos: the whole product as real processes, under orders without end, while something breaks every few seconds."""
