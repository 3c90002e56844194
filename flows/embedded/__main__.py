"""`python -m flows.embedded`: two servers to play with, until Ctrl-C."""

import sys

from flows.embedded.servers import main

sys.exit(main())
