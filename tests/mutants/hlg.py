"""One-line bugs of HLG: (name, file, what stands there, the bug, tests)."""

_SRC = "src/segvit_hf/"
_LAYERS, _ENCODERS, _MODELS = _SRC + "layers/", _SRC + "encoders/", _SRC + "models/hlg/"

_REFERENCE = "tests/models/hlg/test_reference_hlg.py"
_BIAS = "tests/models/hlg/test_position_bias.py"
_WINDOWS = "tests/models/hlg/test_windows.py"
_DETECTION = "tests/models/hlg/test_object_detection.py"
_SIZES = "tests/models/hlg/test_sizes_hlg.py"

MUTANTS: list[tuple[str, str, str, str, list[str]]] = [
    (
        "windows of columns first",
        _LAYERS + "windows.py",
        "(0, 2, 4, 3, 5, 1)",
        "(0, 2, 4, 5, 3, 1)",
        [_WINDOWS],
    ),
    (
        "a bias looked up by the other token",
        _LAYERS + "dynamic_position_bias.py",
        ".flip(-2, -1)",
        "",
        [_BIAS],
    ),
    (
        "the table in rows of its own",
        _LAYERS + "dynamic_position_bias.py",
        "columns + window_columns - 1, 2 * window_columns - 1)",
        "columns + window_columns - 1, 2 * columns - 1)",
        [_BIAS],
    ),
    (
        "queries of the local attention alone",
        _ENCODERS + "hlg_attention.py",
        "query_map = query_map + self.query_convolution",
        "query_map = query_map + 0 * self.query_convolution",
        [_REFERENCE],
    ),
    (
        "a stage's norm beside the trunk",
        _ENCODERS + "hlg.py",
        "            feature_maps.append(feature_map)",
        "            feature_maps.append(feature_map)\n            feature_map = feature_map * 1.01",
        [_REFERENCE],
    ),
    ("no window is dilated", _ENCODERS + "hlg.py", "dilated=index % 2 == 1", "dilated=False", [_SIZES]),
    (
        "anchors as wide as high ones",
        _MODELS + "retinanet.py",
        "(sides / stretch[:, None]).flatten(), (sides * stretch[:, None]).flatten()",
        "(sides * stretch[:, None]).flatten(), (sides / stretch[:, None]).flatten()",
        [_DETECTION],
    ),
    (
        "anchors between object and background count",
        _MODELS + "retinanet.py",
        "losses[image.counted].sum()",
        "losses.sum()",
        [_DETECTION],
    ),
    (
        "crowds are objects",
        _MODELS + "image_processing_detection.py",
        ' if not item.get("iscrowd", 0)]',
        "]",
        [_DETECTION],
    ),
    (
        "classes suppress each other",
        _MODELS + "image_processing_detection.py",
        "batched_nms(candidates, found, labels, overlap_threshold)",
        "batched_nms(candidates, found, 0 * labels, overlap_threshold)",
        [_DETECTION],
    ),
    (
        "boxes as shares of the padded input",
        _MODELS + "object_detection_hlg.py",
        "_image_sizes(pixel_values, pixel_mask)\n        encoded",
        "_image_sizes(pixel_values, None)\n        encoded",
        [_DETECTION],
    ),
]
