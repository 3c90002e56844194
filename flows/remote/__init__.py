"""Moves committed state to where it outlives its disk and its machine, and brings it back from there.

Knows the state directory, and of Kafka and Redis nothing.
"""
