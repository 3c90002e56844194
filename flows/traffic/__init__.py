"""Makes the traffic of a busy warehouse and its shops, and sends it."""
