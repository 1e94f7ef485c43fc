"""Two parts of the demo page that Streamlit has no widget for: a text of clickable characters, and a grid of heads.

Both are drawn by a few lines of JavaScript in the browser (page_text.js, page_heads.js), so that moving the mouse over
a character shows what it looks at without asking the server.
"""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from transformer_from_scratch.figures import show

BLUE, RED = "31,119,180", "214,39,40"
LEAST_PERCENT = 10  # a share below this is shade enough

TEXT_CSS = """
.row { line-height: 1.35; outline: none; font-family: var(--st-code-font); font-size: 1.2rem; padding: 2px; }
.row:focus-visible { box-shadow: 0 0 0 1px var(--st-primary-color); border-radius: 4px; }
.cell { display: inline-flex; flex-direction: column; align-items: center; min-width: 1.35em; height: 2.35em;
        margin: 1px; padding: 2px 1px; border-radius: 4px; border: 2px solid transparent; cursor: pointer;
        box-sizing: border-box; vertical-align: top; color: var(--st-text-color); }
.cell:hover, .looking { border-color: var(--st-border-color); }
.chosen { border-color: rgb(255,127,14); }
small { font-size: 0.6rem; line-height: 1; opacity: 0.8; font-family: var(--st-font); }
"""
HEADS_CSS = """
.grid { display: grid; gap: 5px 6px; align-items: center; font-family: var(--st-font); font-size: 0.8rem;
        color: var(--st-text-color); }
canvas { width: 100%; aspect-ratio: 1; image-rendering: pixelated; cursor: pointer; border-radius: 4px;
         border: 2px solid var(--st-border-color); box-sizing: border-box; }
canvas:hover { border-color: var(--st-text-color); }
canvas.chosen { border-color: rgb(255,127,14); }
"""


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_text = st.components.v2.component(
    f"{__name__}.text", html='<div class="row" tabindex="0"></div>', css=TEXT_CSS, js=_script("page_text.js")
)
_heads = st.components.v2.component(
    f"{__name__}.heads", html='<div class="grid"></div>', css=HEADS_CSS, js=_script("page_heads.js")
)


def surprise_text(characters: str, expected: np.ndarray, chosen: int, key: str, choose: Callable[[int], None]) -> None:
    """Each character the redder the less it was expected. `expected` (T,) are probabilities, NaN where there is none.

    A click calls `choose` with the position.
    """
    bits = -np.log2(np.clip(expected, 1e-6, 1.0))
    shades = np.nan_to_num(np.clip(bits / 10, 0, 0.85))
    _show_text(characters, shades[None], expected[None], chosen, RED, 200, key, choose)


def gaze_text(characters: str, weights: np.ndarray, chosen: int, key: str, choose: Callable[[int], None]) -> None:
    """Each character the bluer the more the chosen one, or the one under the mouse, looks at it: weights (T, T)."""
    shades = np.sqrt(weights) * 0.85  # the eye sees a fifth as nothing beside a whole
    _show_text(characters, shades, weights, chosen, BLUE, LEAST_PERCENT, key, choose)


def head_grid(weights: np.ndarray, chosen: tuple[int, int], position: int, names: list[str], rows: list[str],
              key: str, choose: Callable[[int, int], None]) -> None:  # fmt: skip
    """All heads' weights (L, H, T, T) as small pictures, the row of `position` marked. A click calls `choose`."""
    layers, heads, length = weights.shape[:3]
    data = {
        "maps": base64.b64encode((np.sqrt(weights) * 255).astype(np.uint8).tobytes()).decode(),
        **{"layers": layers, "heads": heads, "length": length, "position": position},
        **{"chosen": list(chosen), "names": names, "rows": rows},
    }
    _heads(data=data, key=key, on_chosen_change=lambda: choose(*map(int, st.session_state[key].chosen)))


def _show_text(characters: str, shades: np.ndarray, shares: np.ndarray, chosen: int, colour: str, least: float,
               key: str, choose: Callable[[int], None]) -> None:  # fmt: skip
    percents = [[None if np.isnan(share) else round(float(share) * 100, 1) for share in row] for row in shares]
    data = {
        "characters": list(characters),
        "glyphs": [show(character) for character in characters],
        "alphas": np.round(shades, 3).tolist(),
        **{"percents": percents, "chosen": chosen, "colour": colour, "least": least},
    }
    _text(data=data, key=key, on_chosen_change=lambda: choose(int(st.session_state[key].chosen)))
