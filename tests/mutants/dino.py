"""One-line bugs of DINOv2's and DINOv3's segmentors: (name, file, what stands there, the bug, tests)."""

_SRC = "src/segvit_hf/"
_CONVERSION = _SRC + "conversion/"
_LINEAR = "tests/models/linear_head/test_reference_linear_head.py"
_MASKS = "tests/models/vit_adapter/test_reference_dino.py"
_ENCODER = "tests/conversion/test_encoder_beside_head.py"
_CONFIGURATIONS = "tests/conversion/test_dino_configurations.py"

MUTANTS: list[tuple[str, str, str, str, list[str]]] = [
    (
        "position embeddings by the grid's size",
        _SRC + "layers/position_embeddings.py",
        "    if offset:\n",
        "    if False:\n",
        [_LINEAR],
    ),
    (
        "only the last map is normalized",
        _SRC + "encoders/vit.py",
        "if self.config.normalize_feature_maps and index < len(self.layers) - 1:",
        "if False:",
        [_LINEAR],
    ),
    (
        "the gate is not activated",
        _SRC + "layers/mlp.py",
        "self.activation(self.gate_proj(hidden_states)) * self.up_proj(hidden_states)",
        "self.gate_proj(hidden_states) * self.activation(self.up_proj(hidden_states))",
        [_LINEAR],
    ),
    (
        "the larger half of the padding is in front",
        _SRC + "layers/resize.py",
        "return F.pad(maps, (left, width - left, top, height - top))",
        "return F.pad(maps, (width - left, left, height - top, top))",
        [_LINEAR],
    ),
    (
        "logits of a centered input are cropped",
        _SRC + "models/linear_head/configuration_linear_head.py",
        'return self.patch_size if self.backbone_padding == "end" else 1',
        "return self.patch_size",
        [_LINEAR],
    ),
    (
        "scores are resized, not masks",
        _SRC + "models/vit_adapter/mask2former.py",
        "if self.config.resize_mask_logits:",
        "if False:",
        [_MASKS],
    ),
    (
        "patches reach beyond the input",
        _SRC + "encoders/vit_adapter.py",
        "self.embeddings(cut_to_multiple(pixel_values, self.config.patch_size))",
        "self.embeddings(pixel_values)",
        [_MASKS],
    ),
    (
        "queries and keys change places",
        _CONVERSION + "dinov3/names.py",
        'attn.qkv.{kind}", ("query", "key", "value"))',
        'attn.qkv.{kind}", ("key", "query", "value"))',
        [_LINEAR],
    ),
    (
        "keys and queries of transformers change places",
        _CONVERSION + "dinov2/transformers_names.py",
        '_QKV = ("query", "key", "value")',
        '_QKV = ("key", "query", "value")',
        [_ENCODER],
    ),
    (
        "the gate is the second half",
        _CONVERSION + "vit_names.py",
        'Split("blocks.{layer}.mlp.w12.weight", ("gate", "up")),',
        'Split("blocks.{layer}.mlp.w12.weight", ("up", "gate")),',
        [_LINEAR],
    ),
    (
        "parts of a tensor are one storage",
        _CONVERSION + "values.py",
        "separate[name] = torch.from_numpy(tensor.numpy())",
        "separate[name] = tensor",
        [_ENCODER],
    ),
    (
        "photos of DINOv3 are not antialiased",
        _CONVERSION + "dinov3/configuration.py",
        '        "resize_method": "pil",\n',
        "",
        [_CONFIGURATIONS, "tests/inference/test_dino_protocols.py"],
    ),
    (
        "views below 1 have any short side",
        _SRC + "image_processing/size_rules.py",
        "if self.small_scale_divisor is not None and scale < 1:",
        "if False:",
        ["tests/image_processing/test_pil_resize.py", _CONFIGURATIONS],
    ),
    (
        "small views are run whole",
        _SRC + "models/semantic_segmentation.py",
        "if self.config.square_small_inputs and height != width",
        "if False and height != width",
        ["tests/models/test_sliding_window.py"],
    ),
    (
        "an encoder that is there already is replaced",
        _CONVERSION + "merging.py",
        "if prefix is None or not needs_encoder(family, head):",
        "if prefix is None:",
        [_ENCODER],
    ),
]
