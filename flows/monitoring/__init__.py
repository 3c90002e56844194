"""Decides what is measured of a running engine, and whether it is well."""
