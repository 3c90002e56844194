"""Decides in which order the steps of a worker's dataflow pass messages on."""
