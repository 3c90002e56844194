"""Decides every number a second time, from Kafka alone, and compares it with what was published."""
