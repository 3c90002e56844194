"""A trading day in a minute: a scripted warehouse and live shoppers against the real engine, then an audit."""
