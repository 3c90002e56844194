"""Brings what Kafka holds into the dataflow: events and reference data, from where the last snapshot stands."""
