"""Fine-tune a semantic-segmentation model from a recipe: `segvit-hf train` for a clone.

accelerate launch training/finetune.py --config training/recipes/segvit-vit-b-ade20k.yaml --data-root DIR
python training/finetune.py --config RECIPE --train-images DIR --train-annotations DIR --val-images DIR \
        --val-annotations DIR --classes classes.txt --init CONVERTED_MODEL
"""

import sys

from segvit_hf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
