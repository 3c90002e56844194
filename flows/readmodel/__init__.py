"""Moves numbers into Redis, where channels read them, behind a fence that older runs cannot pass."""
