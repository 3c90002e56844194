"""Runs a real Kafka and a real Valkey from Python packages alone: `python -m flows.embedded`."""

from flows.embedded.servers import KAFKA_ENV, KAFKA_VERSION, REDIS_ENV, Servers, kafka_jars

__all__ = ["KAFKA_ENV", "KAFKA_VERSION", "REDIS_ENV", "Servers", "kafka_jars"]
