"""One-line bugs of SegViTv2 and of continual segmentation: (name, file, what stands there, the bug, tests)."""

_SRC = "src/segvit_hf/"
_SEGVIT, _CONTINUAL = _SRC + "models/segvit/", _SRC + "training/continual/"
_GROUPS = _SRC + "models/class_groups.py"
_REFERENCE, _CIT = "tests/models/segvit/test_reference_segvit.py", "tests/models/segvit/test_reference_continual.py"
_ADDED = "tests/models/test_added_classes.py"
_CONVERSION = "tests/conversion/test_segvit_v2_conversion.py"
_RECIPES = "tests/training/test_segvit_v2_recipes.py"
_RUN, _STEP_DATA = "tests/training/continual/test_run.py", "tests/training/continual/test_step_data.py"
_DISTILLATION = "tests/training/continual/test_distillation.py"
_REPORT = "tests/training/continual/test_report.py"

MUTANTS: list[tuple[str, str, str, str, list[str]]] = [
    ("absent for present", _SRC + "models/mask_classification.py", "[..., :1, None]", "[..., 1:, None]", [_REFERENCE]),
    (
        "older classes learned to be absent",
        _SEGVIT + "modeling_segvit.py",
        "class_ranges(self.config)[-1].start",
        "0",
        [_ADDED],
    ),
    (
        "masks of a group from the first class on",
        _SEGVIT + "loss_segvit.py",
        "class_index[:, None, None] + classes.start",
        "class_index[:, None, None]",
        [_CIT],
    ),
    (
        "new layers share memory with old ones",
        _SEGVIT + "modeling_segvit.py",
        "newest.stages.load_state_dict(before.stages.state_dict())",
        "newest.stages = before.stages",
        [_ADDED],
    ),
    (
        "new layers start anew",
        _SEGVIT + "modeling_segvit.py",
        "        newest.stages.load_state_dict(before.stages.state_dict())\n",
        "",
        [_ADDED],
    ),
    ("old parameters stay trained", _GROUPS, "self.requires_grad_(False)", "pass", [_ADDED]),
    ("a frozen encoder drops out", _GROUPS, "                module.eval()\n", "                pass\n", [_ADDED]),
    ("the number of steps is lost", _GROUPS, "[*config.added_class_counts, len(names)]", "[len(names)]", [_ADDED]),
    (
        "Segmenter's groups are resized together",
        _SRC + "models/segmenter/modeling_segmenter.py",
        "[resize_padded(logits, size, config.crop_divisor) for logits in groups]",
        "[resize_padded(torch.cat(list(groups), 1), size, config.crop_divisor)]",
        [_ADDED],
    ),
    (
        "teachers are kept",
        _SRC + "conversion/segvit/names.py",
        "*_HEAD_RULES, *_TEACHER_RULES",
        "*_HEAD_RULES",
        [_CIT],
    ),
    (
        "the number of grown classes is not read",
        _SRC + "conversion/segvit/names.py",
        "if has_grown else {}",
        "if False else {}",
        [_CONVERSION],
    ),
    (
        "patches always have a bias",
        _SRC + "conversion/mmseg/vit.py",
        '{"patch_bias": False} if without else {}',
        "{}",
        [_CONVERSION],
    ),
    (
        "the decay begins at once",
        _SRC + "training/optimization/schedule.py",
        "progress = min((step - schedule.warmup_steps) / changes, 1.0)",
        "progress = min(step / changes, 1.0)",
        [_RECIPES],
    ),
    (
        "the head learns no faster",
        "training/recipes/_base_segvit-v2.yaml",
        "lr_multiplier: 10",
        "lr_multiplier: 1",
        [_RECIPES],
    ),
    (
        "the student's probabilities are resized",
        _CONTINUAL + "distillation.py",
        "with_logits(resize_bilinear(student, size), targets)",
        "with_logits(resize_bilinear(student.sigmoid(), size), targets)",
        [_CIT],
    ),
    (
        "new classes' pixels are taught, too",
        _CONTINUAL + "distillation.py",
        "targets.masked_fill(is_new[:, None], 0.0)",
        "targets",
        [_CIT],
    ),
    (
        "every group is taught by the last",
        _CONTINUAL + "distillation.py",
        "teacher.groups()[-1]",
        "teacher.groups()[0]",
        [_DISTILLATION],
    ),
    (
        "labels keep the data's ids",
        _CONTINUAL + "step_data.py",
        "list(self.model_ids.values())",
        "list(self.model_ids)",
        [_STEP_DATA],
    ),
    ("disjoint as overlapped", _CONTINUAL + "step_data.py", 'setting == "disjoint" and later', "False", [_STEP_DATA]),
    (
        "all is the mean of two columns",
        _CONTINUAL + "report.py",
        "all=_mean(iou)",
        "all=_mean(iou[: counts[0]])",
        [_REPORT],
    ),
    (
        "pixels taken back",
        _CONTINUAL + "report.py",
        "matrix[:num_old, num_old:]",
        "matrix[num_old:, :num_old]",
        [_REPORT],
    ),
    ("a step starts from the first", _CONTINUAL + "run.py", "self._folder(step - 1)", "self._folder(0)", [_RUN]),
    (
        "the encoder is distilled",
        _CONTINUAL + "run.py",
        "            model.encoder.requires_grad_(False)\n",
        "",
        [_RUN],
    ),
]
