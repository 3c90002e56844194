"""Decides what became of messages that could not be used, and which of them may be sent again."""
