"""Tells shops the numbers: reads what the engine published, and sets it where the shop keeps it.

shop      asks one shop: what it has, which orders changed; and sets numbers
reader    follows Kafka: updates, aliases, items' scales, the shop's own orders
chain     how far translator, engine and we are, for a rise that waits
promised  what Redis has, for a rise of a channel whose updates may wait for a budget
pusher    one shop's rounds: what is due, what falls, what rises, what is refused
run       `atp push shopify`: a thread for each shop, until SIGTERM
"""
