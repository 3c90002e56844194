"""Moves what other systems say into events."""
