"""`python -m segvit_hf.cli` is `segvit-hf`."""

import sys

from segvit_hf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
