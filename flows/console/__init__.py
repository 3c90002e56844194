"""Shows numbers, and what needs a person, in a browser: reads what the engine publishes, never its state."""
