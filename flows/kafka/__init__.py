"""Moves bytes to and from Kafka: clients, topics and what they are, reading to an end, sending until it arrived."""
