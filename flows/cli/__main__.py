"""`python -m flows.cli` is `atp`."""

from flows.cli.app import main

main()
