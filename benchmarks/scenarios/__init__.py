"""One file a scenario or family of scenarios; `benchmarks/catalog.py` lists them."""
