"""Decides with what a run may begin: the state of the run before it, a topic that was made again, or nothing."""
