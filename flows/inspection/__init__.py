"""Finds out what people ask of an engine and of what it published; changes nothing."""
