"""How many tokens a second a training loop takes in: ours, or nanoGPT's. The benchmark runs each in its own process."""

import tempfile
import time

from shared.config import to_dict
from shared.runs import RunFolder
from shared.timing import Timer
from transformer_from_scratch.config import ARCHITECTURES, PROJECT, TrainingConfig

WARM_UP, STEPS = 10, 100


def our_rate(architecture: str, data: str) -> float:
    """Tokens a second of the training script itself at nanoGPT's context and batch, logging included."""
    from transformer_from_scratch.nanogpt_peer import BATCH_SIZE, BLOCK_SIZE
    from transformer_from_scratch.train_simple_lm import train

    settings = {**ARCHITECTURES[architecture], "context": BLOCK_SIZE, "batch_size": BATCH_SIZE}
    settings |= {"max_steps": WARM_UP + STEPS, "eval_blocks": 1, "tracking": "none"}
    config = TrainingConfig(data=data, eval_every=1000, **settings)
    times: dict[int, float] = {}

    def note(steps: int, loss: float) -> None:
        times[steps] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        train(config, RunFolder.create(f"{folder}/run", PROJECT, to_dict(config)), on_step=note)
    return STEPS * config.batch_size * config.context / (times[WARM_UP + STEPS] - times[WARM_UP])


def nanogpt_rate(checkout: str, data: str) -> float:
    """Tokens a second of nanoGPT's loop on the same text."""
    from transformer_from_scratch.nanogpt_peer import BATCH_SIZE, BLOCK_SIZE, NanoGPT
    from transformer_from_scratch.training import prepare_text

    text = prepare_text(TrainingConfig(data=data))
    peer = NanoGPT(checkout, len(text.tokenizer), text.train, seed=0)
    for _ in range(WARM_UP):
        peer.step()
    with Timer() as timer:
        for _ in range(STEPS):
            peer.step()
    return timer.rate(STEPS * BATCH_SIZE * BLOCK_SIZE)
