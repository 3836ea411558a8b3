"""`python -m herdbook`."""

import sys

from herdbook.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
