"""Keeps what is on this machine's disk: the state directory, its sealed layers, Bytewax's recovery store."""
