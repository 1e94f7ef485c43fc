"""Where the projects are, and what in a folder is ours to document and check."""

from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

PROJECTS = (
    "transformer_from_scratch",
    "bert_sentiment_analysis",
    "gpt_text_generation",
    "qa_system",
    "model_optimization",
    "multimodal_llm",
)
PAGES = ("app.py", "app/streamlit_ui.py")
_NOT_OURS = {"__pycache__", "build", "dist", "runs", "outputs", "mlruns", "wandb"}


def existing_projects(checkout: Path = CHECKOUT) -> list[str]:
    """The projects that are here, those of the roadmap first. One without a quickstart is in the making, not here."""
    found = {path.parent.name for path in checkout.glob("*/quickstart.py")}
    return [name for name in PROJECTS if name in found] + sorted(found - set(PROJECTS))


def our_files(folder: Path, pattern: str) -> Iterator[Path]:
    """Files below `folder` that match, without hidden folders, caches and outputs."""
    for path in sorted(folder.rglob(pattern)):
        parts = path.relative_to(folder).parts
        if not any(part.startswith(".") or part in _NOT_OURS or part.endswith(".egg-info") for part in parts):
            yield path


def page_of(project: str, checkout: Path = CHECKOUT) -> Path | None:
    """The project's Streamlit page, or None."""
    for page in PAGES:
        if (checkout / project / page).exists():
            return checkout / project / page
    return None
