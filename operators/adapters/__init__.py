"""Decides what another system's message means: bytes in, events, statements and an account of every line out; no IO."""
