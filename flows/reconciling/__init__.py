"""Moves files in as statements, and people's decisions to the engine; finds out what came of both."""
