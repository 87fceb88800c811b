"""Recipes that nobody means: files that are none, and values of which no training can be made."""

# Nine values in nine values ..., nine deep: 600 bytes that stand for 400 million values.
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


# Content of the file, and what the refusal says.
FILES: list[tuple[bytes, str]] = [
    (b"data: \xff\xfe", "in UTF-8"),
    (b"data: " + b"[" * 5000, "nested more than 30 deep"),
    (b"data: " + b"[" * 40 + b"]" * 40, "nested more than 30 deep"),
    (b"data: " + b"{a: " * 3000 + b"1" + b"}" * 3000, "nested more than 30 deep"),
    (b"- " * 100_000, "nested more than 30 deep"),
    (BOMB.encode() + b"data: *i", "more than 20000 values"),
    (b"data: &a [*a]", "hold themselves"),
    (b"data: &a {b: {c: *a}}", "hold themselves"),
    (b"? [a, b]\n: 1", "a key that is no text"),
    (b"data: !!python/object/apply:os.system [true]", "could not determine a constructor"),
    (b"data: 2020-13-45", "month must be in 1..12"),
    (b"\x00", "expected valid YAML"),
    (b"", "expected a mapping of recipe fields, found nothing"),
    (b"x: " + b"a" * (1 << 20), "of at most 1048576 bytes"),
    (b'"\\e[2J\\nall fine": 1', "\\x1b[2J\\nall fine"),
    (b'model: "\\e[2J"', "found '\\x1b[2J' (str)"),
]

# What follows --set, and what the refusal says.
IMPOSSIBLE_VALUES: list[tuple[str, str]] = [
    ("model.config.patch_size=0", "model.config: "),
    ("model.config.hidden_size=17", "model.config: "),
    ("model.config.image_size=33", "model.config: "),
    ("model.config.num_hidden_layers=-1", "model.config: "),
    ("model.config.num_hidden_layers=two", "model.config: "),
    ("model.config.num_hidden_layers=1000000", "num_hidden_layers: expected at most 1000, found 1000000"),
    ("model.config.encoder_out_indices=[9]", "model.config: "),
    ("model.config.drop_path_rate=2", "model.config: "),
    ("model.config.hidden_size=2000000", "model.config: "),
    ("model.config.intermediate_size=1000000000000", "model.config: "),
    ("model.config.hidden_size=10000000000000000000", "model.config: "),
    ("image_processor.image_mean=black", "image_processor: "),
    ("image_processor.size=[]", "image_processor: "),
    ("augmentation.size=[-1, 5]", "augmentation.size: expected two numbers of 1 to 16384"),
    ("augmentation.size=[20000, 5]", "augmentation.size: expected two numbers of 1 to 16384"),
    ("augmentation.crop_size=100000", "augmentation.crop_size: expected at most 16384 pixels a side"),
    ("augmentation.scale_range=[0, 1]", "augmentation.scale_range: "),
    ("augmentation.scale_range=[1, 1e9]", "augmentation.scale_range: "),
    ("runtime.seed=-1", "runtime.seed: expected 0 to 2147483648, found -1"),
    ("runtime.seed=99999999999", "runtime.seed: expected 0 to 2147483648"),
    ("optimizer.learning_rate=.inf", "optimizer.learning_rate: expected a number, found inf"),
    ("optimizer.learning_rate=.nan", "optimizer.learning_rate: expected a number, found nan"),
    ("schedule.warmup_steps=7", "schedule.warmup_steps: expected at most max_steps, 6, found 7"),
    ("schedule.max_steps=100000000", "schedule.max_steps: expected 1 to 99999999"),
    ("data.root=''", "data.root: expected a path or null, found an empty text"),
    ("data.classes=''", "data.classes: expected a path or null, found an empty text"),
    ("data.train={images: '', annotations: x}", "data.train.images: expected a path or null"),
    ("model.init=''", "model.init: expected a path or null"),
]
