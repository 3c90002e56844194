"""Wiring, settings, command line and connectors: the only place that touches the world."""
