"""Moves what the shards say out: to the read model, then to Kafka, by one writer a process."""
