"""Pure decisions on plain state, one noun a module; nothing here knows of Kafka, Redis, Bytewax or a clock."""
