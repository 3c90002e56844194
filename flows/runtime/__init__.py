"""Holds what the threads of one worker share."""
