"""The fields of HLG's encoder."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from segvit_hf._compat import strict
from segvit_hf.encoders.checked_configuration import CheckedConfig

NUM_STAGES = 4
# Of the feature maps.
STRIDES = (4, 8, 16, 32)
GlobalPositionBias = Literal["window_tokens", "leading_tokens"]


@strict
class HlgEncoderConfig(CheckedConfig):
    r"""What HLG's hierarchical encoder is made of. The lists have one entry for each of the four stages.

    Args:
        image_size (`int` or `(height, width)`, defaults to 512):
            Input size in pixels that the model is trained for. Nothing is stored for it: any other one will do.
        hidden_sizes (`list[int]`, defaults to `[96, 192, 384, 768]`): Widths; multiples of 16 and of the heads.
        depths (`list[int]`, defaults to `[2, 2, 6, 2]`): Numbers of layers.
        num_attention_heads (`list[int]`, defaults to `[3, 6, 12, 24]`): Numbers of heads.
        mlp_ratio (`float`, defaults to 4): Width of the feed-forward layers in units of `mlp_width_of`.
        mlp_width_of (`"input"` or `"output"`, defaults to `"input"`):
            Whose width that is in the first layer of a stage, which changes it.
        window_size (`int`, defaults to 7): Rows and columns of tokens in a window.
        global_position_bias (`"window_tokens"` or `"leading_tokens"`):
            How the bias of window tokens is looked up: the reading of HLG's segmentation and detection code (the
            default), or that of its classification code.
        use_stage_norms (`bool`, defaults to `True`):
            Whether each stage's output is normalized on its way to the next (segmentation and detection).
        qkv_bias, hidden_dropout_prob, attention_probs_dropout_prob, layer_norm_eps, initializer_range:
            As in other transformers.
        drop_path_rate (`float`, defaults to 0.1): Stochastic depth of the last layer; it rises linearly from 0.
    """

    model_type = "segvit_hf_hlg_encoder"
    positive_fields: ClassVar[tuple[str, ...]] = (
        "image_size",
        "num_channels",
        "hidden_sizes",
        "depths",
        "num_attention_heads",
        "window_size",
    )
    probability_fields: ClassVar[tuple[str, ...]] = (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "drop_path_rate",
    )

    image_size: int | list[int] | tuple[int, int] = 512
    num_channels: int = 3
    hidden_sizes: list[int] | tuple[int, ...] = (96, 192, 384, 768)
    depths: list[int] | tuple[int, ...] = (2, 2, 6, 2)
    num_attention_heads: list[int] | tuple[int, ...] = (3, 6, 12, 24)
    mlp_ratio: float | int = 4.0
    mlp_width_of: Literal["input", "output"] = "input"
    window_size: int = 7
    global_position_bias: GlobalPositionBias = "window_tokens"
    use_stage_norms: bool = True
    qkv_bias: bool = True
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    drop_path_rate: float | int = 0.1
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02

    if TYPE_CHECKING:
        num_labels: int  # the base class's property, which is never None here

    def __post_init__(self, **kwargs: Any) -> None:
        for name in ("hidden_sizes", "depths", "num_attention_heads"):
            setattr(self, name, list(getattr(self, name)))
        super().__post_init__(**kwargs)

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers in all stages."""
        return sum(self.depths)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        for name in ("hidden_sizes", "depths", "num_attention_heads"):
            if len(getattr(self, name)) != NUM_STAGES:
                raise ValueError(f"{name}: expected {NUM_STAGES} numbers, one per stage, found {getattr(self, name)}.")
        super().validate_architecture()
        widths, heads = list(self.hidden_sizes), list(self.num_attention_heads)
        if any(width % number or width % 16 for width, number in zip(widths, heads, strict=True)):
            raise ValueError(
                f"hidden_sizes: expected multiples of 16 and of num_attention_heads = {heads}, found {widths}."
            )
        if any(width % before for before, width in zip([widths[0], *widths], widths, strict=False)):
            raise ValueError(
                f"hidden_sizes: expected each to be a multiple of the one before, for stages are joined by grouped "
                f"convolutions, found {widths}."
            )
        if not self.mlp_ratio > 0:
            raise ValueError(f"mlp_ratio: expected more than 0, found {self.mlp_ratio}.")


__all__ = ["NUM_STAGES", "STRIDES", "GlobalPositionBias", "HlgEncoderConfig"]
