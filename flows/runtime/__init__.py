"""Holds what the threads of one worker share, and gives them what of the settings decides about events."""
