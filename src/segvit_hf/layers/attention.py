"""Multi-head attention with one fused query-key-value projection, as in timm and in torch's MultiheadAttention."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig

from segvit_hf._compat import ALL_ATTENTION_FUNCTIONS, TransformersKwargs, Unpack


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention that keeps its probabilities.

    Args:
        query, key, value: (batch, num_heads, num_tokens, head_size).
        attention_mask: Added to the logits; broadcastable to (batch, num_heads, num_queries, num_keys).

    Returns:
        The output (batch, num_queries, num_heads, head_size) and the probabilities
        (batch, num_heads, num_queries, num_keys).
    """
    logits = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        logits = logits + attention_mask
    probabilities = F.softmax(logits, dim=-1, dtype=torch.float32).to(query.dtype)
    probabilities = F.dropout(probabilities, p=dropout, training=module.training)
    return torch.matmul(probabilities, value).transpose(1, 2).contiguous(), probabilities


def attend(
    module: nn.Module,
    config: PreTrainedConfig,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    num_heads: int,
    dropout: float,
    attention_mask: torch.Tensor | None = None,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention between projected tokens of shape (batch, num_tokens, width), through the implementation that `config`
    names (`attn_implementation`).

    Returns:
        The output (batch, num_queries, width) and the probabilities (batch, num_heads, num_queries, num_keys), which
        only the eager implementation gives: it stands in for any other one when `output_attentions` asks for them.
    """
    batch_size, num_queries, width = query.shape
    head_size = width // num_heads
    query, key, value = (
        tokens.reshape(batch_size, -1, num_heads, head_size).transpose(1, 2) for tokens in (query, key, value)
    )
    attention_interface: Callable = eager_attention_forward
    if not kwargs.pop("output_attentions", config.output_attentions):
        attention_interface = ALL_ATTENTION_FUNCTIONS.get_interface(
            config._attn_implementation, eager_attention_forward
        )
    output, probabilities = attention_interface(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=dropout if module.training else 0.0,
        scaling=head_size**-0.5,
        **kwargs,
    )
    return output.reshape(batch_size, num_queries, width), probabilities


class SelectableAttention:
    """Mixin, in front of `PreTrainedModel`, of models whose attentions all go through `attend`.

    transformers lets a model's attention implementation be changed only where it finds its attention interface in the
    source of the model's own file; ours is called in this one.
    """

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True


class MultiHeadAttention(nn.Module):
    """Attention of tokens among themselves, or of `query_states` over `hidden_states`.

    Args:
        config: Names the attention implementation.
        hidden_size: Width of the tokens.
        num_heads: Number of heads.
        qkv_bias: Whether the fused projection has a bias.
        dropout: Dropout probability of the attention probabilities.
    """

    is_causal = False

    def __init__(
        self,
        config: PreTrainedConfig,
        *,
        hidden_size: int,
        num_heads: int,
        qkv_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=qkv_bias)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        query_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Args:
            hidden_states: (batch, num_tokens, hidden_size), the keys and values, and the queries too by default.
            query_states: (batch, num_queries, hidden_size).

        Returns:
            (batch, num_queries, hidden_size) and the attention probabilities or `None`.
        """
        if query_states is None:
            query, key, value = self.qkv(hidden_states).chunk(3, dim=-1)
        else:
            hidden_size = self.proj.in_features
            query_weight, key_value_weight = self.qkv.weight.split([hidden_size, 2 * hidden_size])
            query_bias, key_value_bias = (
                (None, None) if self.qkv.bias is None else self.qkv.bias.split([hidden_size, 2 * hidden_size])
            )
            query = F.linear(query_states, query_weight, query_bias)
            key, value = F.linear(hidden_states, key_value_weight, key_value_bias).chunk(2, dim=-1)
        output, probabilities = attend(
            self,
            self.config,
            query,
            key,
            value,
            num_heads=self.num_heads,
            dropout=self.dropout,
            attention_mask=attention_mask,
            **kwargs,
        )
        return self.proj(output), probabilities


__all__ = ["MultiHeadAttention", "SelectableAttention", "attend", "eager_attention_forward"]
