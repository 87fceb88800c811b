"""`python -m segvit_hf.training` (also under `accelerate launch -m`) is `segvit-hf train`."""

import sys

from segvit_hf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
