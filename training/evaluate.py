"""Evaluate a saved model on labeled photos: `segvit-hf evaluate` for a clone.

python training/evaluate.py --model DIR --images DIR --annotations DIR [--scales 0.5 1.0 1.5 --flip]
torchrun --nproc_per_node 2 training/evaluate.py --model DIR --layout ade20k --data-root DIR --output results.json
"""

import sys

from segvit_hf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
