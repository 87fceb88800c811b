"""Convert released weights to the Hugging Face format: `segvit-hf convert` for a clone.

python conversion/convert.py --list
python conversion/convert.py segvit-vit-b-ade20k ade_51.3.pth --output segvit-b
"""

import sys

from segvit_hf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
