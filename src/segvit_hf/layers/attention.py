"""Multi-head attention through transformers' attention interface."""

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
    **_kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention that keeps its probabilities.

    Args:
        module: The attention module, which knows whether it is in training.
        query: (batch, num_heads, num_queries, head_size).
        key: (batch, num_heads, num_keys, head_size).
        value: (batch, num_heads, num_keys, head_size).
        attention_mask: Added to the logits; broadcastable to (batch, num_heads, num_queries, num_keys).
        scaling: Factor of the logits.
        dropout: Probability with which a probability is dropped in training.

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


class Attention(nn.Module):
    """Base of all attentions: a subclass projects tokens to queries, keys and values, and `attend` does the rest.

    Args:
        config: Names the attention implementation; nothing else of it is read.
        num_heads: Number of heads.
        dropout: Dropout probability of the attention probabilities.
    """

    is_causal = False

    def __init__(self, config: PreTrainedConfig, *, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.num_heads = num_heads
        self.dropout = dropout

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attention between projected tokens, through the implementation that the configuration names.

        Args:
            query: (batch, num_queries, width).
            key: (batch, num_keys, width).
            value: (batch, num_keys, width).
            attention_mask: Added to the logits; broadcastable to (batch, num_heads, num_queries, num_keys).
            **kwargs: Passed to the implementation.

        Returns:
            The output (batch, num_queries, width) and the probabilities (batch, num_heads, num_queries, num_keys),
            which only the eager implementation gives: it stands in for any other one when `output_attentions` asks
            for them.
        """
        batch_size, num_queries, width = query.shape
        head_size = width // self.num_heads
        query, key, value = (
            tokens.reshape(batch_size, -1, self.num_heads, head_size).transpose(1, 2) for tokens in (query, key, value)
        )
        implementation: Callable = eager_attention_forward
        if not kwargs.pop("output_attentions", self.config.output_attentions):
            implementation = ALL_ATTENTION_FUNCTIONS.get_interface(
                self.config._attn_implementation, eager_attention_forward
            )
        output, probabilities = implementation(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=head_size**-0.5,
            **kwargs,
        )
        return output.reshape(batch_size, num_queries, width), probabilities


class MultiHeadAttention(Attention):
    """Attention of tokens among themselves, or of other queries over them, with timm's one fused projection.

    Args:
        config: Names the attention implementation.
        hidden_size: Width of the tokens.
        num_heads: Number of heads.
        qkv_bias: Whether the fused projection has a bias.
        dropout: Dropout probability of the attention probabilities.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        *,
        hidden_size: int,
        num_heads: int,
        qkv_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(config, num_heads=num_heads, dropout=dropout)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=qkv_bias)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        query_states: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attends with all tokens, or with `query_states` alone.

        Args:
            hidden_states: (batch, num_tokens, hidden_size), the keys and values, and the queries too by default.
            query_states: (batch, num_queries, hidden_size).
            **kwargs: Passed to `attend`.

        Returns:
            (batch, num_queries, hidden_size) and the attention probabilities or `None`.
        """
        if query_states is None:
            query, key, value = self.qkv(hidden_states).chunk(3, dim=-1)
        else:
            query, key, value = self._project_apart(hidden_states, query_states)
        output, probabilities = self.attend(query, key, value, **kwargs)
        return self.proj(output), probabilities

    def _project_apart(
        self, hidden_states: torch.Tensor, query_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sizes = [self.proj.in_features, 2 * self.proj.in_features]
        query_weight, key_value_weight = self.qkv.weight.split(sizes)
        query_bias, key_value_bias = (None, None) if self.qkv.bias is None else self.qkv.bias.split(sizes)
        query = F.linear(query_states, query_weight, query_bias)
        key, value = F.linear(hidden_states, key_value_weight, key_value_bias).chunk(2, dim=-1)
        return query, key, value


__all__ = ["Attention", "MultiHeadAttention", "eager_attention_forward"]
