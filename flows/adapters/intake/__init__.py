"""Brings in what other systems send, byte for byte: each message to its source's raw topic, before anybody reads it.

    receive     they call us (HTTP)      acknowledged when Kafka has it
    folder      they leave files         moved to `done` when Kafka has them
    poll        we ask them (HTTP)       a checkpoint is stored when Kafka has the page

Each is a process of its own that may be killed anywhere. What was being sent then is sent again: the same bytes under
the same document, of which the translator counts every line once.
"""
