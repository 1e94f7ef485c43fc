"""The demo page: type a text, see where every head looks and what comes next, and let the model write on."""

from pathlib import Path

import numpy as np
import streamlit as st
import torch

from shared.errors import UserError
from shared.page import choose_language
from shared.phrases import phrase
from shared.runs import SUMMARY, RunFolder
from transformer_from_scratch import figures
from transformer_from_scratch.checkpoint import load_model
from transformer_from_scratch.config import PRESETS, PROJECT, Sampling, TrainingConfig
from transformer_from_scratch.positional_encoding import sinusoidal_table
from transformer_from_scratch.sampling import generate_tokens, next_token_probabilities
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

UNTRAINED_ALPHABET = "\n !\"'(),-.0123456789:;?abcdefghijklmnopqrstuvwxyz"
LONGEST_SHOWN = 48  # characters on an attention map; more would be too small to read


def find_runs() -> list[Path]:
    """Finished runs, the newest first: of the demo and of the training script, below the current folder."""
    summaries = [*Path("outputs/demo").glob(f"{PROJECT}/{SUMMARY}"), *Path("runs", PROJECT).glob(f"*/{SUMMARY}")]
    return [file.parent for file in sorted(summaries, key=lambda file: file.stat().st_mtime, reverse=True)]


@st.cache_resource(max_entries=4)
def load(run: str, changed: float) -> tuple[LanguageModel, CharTokenizer]:
    """A run's model, kept until its files change."""
    return load_model(run)


@st.cache_resource
def untrained() -> tuple[LanguageModel, CharTokenizer]:
    """A small model of random weights, for a page opened before any training."""
    torch.manual_seed(0)
    tokenizer = CharTokenizer(UNTRAINED_ALPHABET)
    return LanguageModel(TrainingConfig(**PRESETS["tiny"]), len(tokenizer)).eval(), tokenizer


def main() -> None:
    language = choose_language()

    def say(key: str, **values: object) -> str:
        return phrase(f"transformer.page.{key}", language, **values)

    st.title(phrase("app.page.transformer_from_scratch", language))
    st.write(say("lead"))

    # Which model
    runs = find_runs()
    run = st.sidebar.selectbox(say("run"), runs, format_func=str) if runs else None
    model, tokenizer = untrained()
    if run is None:
        st.warning(say("untrained"))
    else:
        try:
            model, tokenizer = load(str(run), (run / SUMMARY).stat().st_mtime)
        except UserError as error:
            st.error(str(error))
            st.stop()
    st.sidebar.caption(
        say("model", params=f"{sum(p.numel() for p in model.parameters()):,}", context=model.config.context)
    )
    temperature = st.sidebar.slider(say("temperature"), 0.0, 2.0, 0.8, 0.05, help=say("temperature_help"))
    top_k = st.sidebar.slider(say("top_k"), 0, 50, 0, help=say("top_k_help"))
    top_p = st.sidebar.slider(say("top_p"), 0.05, 1.0, 1.0, 0.05, help=say("top_p_help"))
    sampling = Sampling(temperature, top_k, top_p)

    # What it reads
    text = st.text_input(say("text"), say("example"), key=f"text-{language}")
    ids = tokenizer.encode(text)[-min(model.config.context, LONGEST_SHOWN) :]
    unknown = sorted({c for c, i in zip(text, tokenizer.encode(text), strict=True) if i == 0})
    if unknown:
        st.info(say("unknown", characters=" ".join(unknown)))
    if not len(ids):
        st.info(say("empty"))
        st.stop()
    tokens = torch.from_numpy(ids)[None].long()  # (1, T)
    with torch.inference_mode():
        logits, maps = model(tokens, need_weights=True)  # (1, T, V), layers x (1, H, T, T)
    shown = tokenizer.decode(ids.tolist())
    weights = torch.cat(maps).numpy()  # (layers, H, T, T)

    attention, following, writing, positions, training = st.tabs(
        [say(f"tab.{name}") for name in ("attention", "next", "write", "positions", "training")]
    )
    with attention:
        st.write(say("attention"))
        left, right = st.columns(2)
        layer = left.segmented_control(say("layer"), range(1, len(maps) + 1), default=1) or 1
        head = right.segmented_control(say("head"), range(1, weights.shape[1] + 1), default=1) or 1
        st.plotly_chart(figures.attention_map(weights[layer - 1, head - 1], shown, language))
        with st.expander(say("all_heads")):
            st.plotly_chart(figures.attention_heads(weights, shown, language))
    with following:
        st.write(say("next", text=shown))
        scores = logits[0, -1].clone()
        scores[0] = -np.inf  # the unknown character is never written
        probabilities = next_token_probabilities(scores, sampling).numpy()
        st.plotly_chart(figures.next_characters(probabilities, tokenizer.characters, language))
    with writing:
        length = st.slider(say("length"), 50, 1000, 300, 50)
        if st.button(say("write"), type="primary"):
            drawn = generate_tokens(model, torch.from_numpy(tokenizer.encode(text)), length, sampling)
            place, written = st.empty(), text
            for token in drawn:
                written += tokenizer.decode([token])
                place.text(written)
    with positions:
        st.write(say("positions"))
        st.plotly_chart(figures.positional_encoding(sinusoidal_table(64, 64).numpy(), language))
    with training:
        if run is None:
            st.info(say("no_curve"))
        else:
            st.plotly_chart(figures.training_curve(RunFolder(run).metrics(), {}, language))
            st.json(RunFolder(run).summary(), expanded=False)


main()
