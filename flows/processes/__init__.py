"""Decides which processes of the engine run, and until when."""
