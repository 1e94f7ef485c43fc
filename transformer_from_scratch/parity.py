"""Proof that our parts compute what the references compute: copy a reference's weights over, compare the outputs.

The tests and the benchmark `parity` both call these. Each gives the largest absolute difference of the outputs,
float32, over random weights and inputs of the given seed.
"""

import torch
from torch import Tensor, nn

from transformer_from_scratch.attention import MultiHeadAttention, causal_mask, padding_mask
from transformer_from_scratch.config import ModelConfig
from transformer_from_scratch.transformer_block import Encoder, LanguageModel, TransformerBlock

BATCH, LENGTH, WIDTH, HEADS = 3, 10, 32, 4


@torch.no_grad()
def attention_difference(seed: int) -> float:
    """Against torch.nn.MultiheadAttention: self-attention causal, cross-attention padded; outputs and weights."""
    torch.manual_seed(seed)
    reference = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    _randomise(reference)
    ours = MultiHeadAttention(WIDTH, HEADS)
    copy_attention(reference, ours)
    x, context = torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, 7, WIDTH)
    lengths = torch.tensor([7, 4, 1])
    differences = []
    for need_weights in (False, True):
        # torch's masks say where NOT to look
        theirs = reference(x, x, x, attn_mask=~causal_mask(LENGTH, LENGTH), average_attn_weights=False)
        mine = ours(x, causal=True, need_weights=need_weights)
        differences.append(_difference(mine, theirs))
        padded = padding_mask(lengths, 7)
        theirs = reference(x, context, context, key_padding_mask=~padded[:, 0, 0], average_attn_weights=False)
        mine = ours(x, context, mask=padded, need_weights=need_weights)
        differences.append(_difference(mine, theirs))
    return max(differences)


@torch.no_grad()
def encoder_difference(seed: int) -> float:
    """Against torch.nn.TransformerEncoder: pre- and post-norm, ReLU and GELU, with padding."""
    differences = []
    for norm_position in ("pre", "post"):
        for activation in ("relu", "gelu"):
            torch.manual_seed(seed)
            layer = nn.TransformerEncoderLayer(
                WIDTH, HEADS, 4 * WIDTH, 0.0, activation, batch_first=True, norm_first=norm_position == "pre"
            )
            final = nn.LayerNorm(WIDTH) if norm_position == "pre" else None
            reference = nn.TransformerEncoder(layer, 2, final, enable_nested_tensor=False).eval()
            _randomise(reference)
            config = ModelConfig(
                n_layers=2, n_heads=HEADS, width=WIDTH, norm_position=norm_position, activation=activation
            )
            ours = Encoder(config).eval()
            for theirs, block in zip(reference.layers, ours.blocks, strict=True):
                copy_encoder_layer(theirs, block)
            if final is not None:
                ours.final_norm.load_state_dict(reference.norm.state_dict())
            x = torch.randn(BATCH, LENGTH, WIDTH)
            mask = padding_mask(torch.tensor([10, 6, 1]), LENGTH)
            expected = reference(x, src_key_padding_mask=~mask[:, 0, 0])
            differences.append(float((ours(x, mask) - expected).abs().max()))
    return max(differences)


@torch.no_grad()
def gpt2_difference(seed: int) -> float:
    """Against a small random GPT-2 of the transformers library: logits of the language model, and with a cache."""
    import transformers

    torch.manual_seed(seed)
    sizes = {
        "n_embd": WIDTH,
        "n_layer": 3,
        "n_head": HEADS,
        "n_positions": 16,
        "vocab_size": 50,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    reference = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    _randomise(reference)
    config = ModelConfig(
        context=16, n_layers=3, n_heads=HEADS, width=WIDTH, positions="learned", activation="gelu_tanh"
    )
    ours = LanguageModel(config, 50).eval()
    copy_gpt2(reference, ours)
    tokens = torch.randint(0, 50, (BATCH, 16))
    expected = reference(tokens).logits  # (B, T, V)
    logits, _ = ours(tokens)
    caches = ours.new_caches(BATCH)
    steps = [ours(tokens[:, :5], caches)[0]] + [ours(tokens[:, i : i + 1], caches)[0] for i in range(5, 16)]
    return max(float((found - expected).abs().max()) for found in (logits, torch.cat(steps, dim=1)))


def copy_attention(theirs: nn.MultiheadAttention, ours: MultiHeadAttention) -> None:
    """torch keeps the query, key and value projections in one matrix, one below the other."""
    for part, weight, bias in zip(
        (ours.query, ours.key, ours.value), theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True
    ):
        part.weight.copy_(weight)
        part.bias.copy_(bias)
    ours.output.load_state_dict(theirs.out_proj.state_dict())


def copy_encoder_layer(theirs: nn.TransformerEncoderLayer, ours: TransformerBlock) -> None:
    copy_attention(theirs.self_attn, ours.attention)
    ours.feed_forward.widen.load_state_dict(theirs.linear1.state_dict())
    ours.feed_forward.narrow.load_state_dict(theirs.linear2.state_dict())
    ours.attention_norm.load_state_dict(theirs.norm1.state_dict())
    ours.feed_forward_norm.load_state_dict(theirs.norm2.state_dict())


def copy_gpt2(theirs: nn.Module, ours: LanguageModel) -> None:
    """GPT-2's weights into ours. Its `Conv1D` layers hold a linear layer's matrix transposed."""
    stack = theirs.transformer
    ours.embedding.tokens.weight.copy_(stack.wte.weight)
    ours.embedding.positions.table.copy_(stack.wpe.weight)
    ours.final_norm.load_state_dict(stack.ln_f.state_dict())
    for block, reference in zip(ours.blocks, stack.h, strict=True):
        block.attention_norm.load_state_dict(reference.ln_1.state_dict())
        block.feed_forward_norm.load_state_dict(reference.ln_2.state_dict())
        parts = (block.attention.query, block.attention.key, block.attention.value)
        weights, biases = reference.attn.c_attn.weight.T.chunk(3), reference.attn.c_attn.bias.chunk(3)
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            _copy_linear(weight, bias, part)
        _copy_linear(reference.attn.c_proj.weight.T, reference.attn.c_proj.bias, block.attention.output)
        _copy_linear(reference.mlp.c_fc.weight.T, reference.mlp.c_fc.bias, block.feed_forward.widen)
        _copy_linear(reference.mlp.c_proj.weight.T, reference.mlp.c_proj.bias, block.feed_forward.narrow)


def _copy_linear(weight: Tensor, bias: Tensor, ours: nn.Linear) -> None:
    ours.weight.copy_(weight)
    ours.bias.copy_(bias)


def _randomise(module: nn.Module) -> None:
    """Biases and norms start at 0 and 1, where a forgotten copy would not show."""
    for weight in module.parameters():
        weight.normal_(std=0.3)


def _difference(ours: tuple[Tensor, Tensor | None], theirs: tuple[Tensor, Tensor]) -> float:
    pairs = [(ours[0], theirs[0])] + ([(ours[1], theirs[1])] if ours[1] is not None else [])
    return max(float((mine - expected).abs().max()) for mine, expected in pairs)
