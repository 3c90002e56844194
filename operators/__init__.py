"""Operators: one file a step of the dataflow. No IO: the world is touched in flows alone."""
