"""Questions in SQuAD's format (1.1 or 2.0; XQuAD and CMRC 2018 have it too), and a store of their paragraphs.

An article becomes a document: its title as the heading, then its paragraphs. It is cut as every other document.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shared.errors import UserError
from shared.files import parse_json
from shared.logging import progress_bar


class Asked(NamedTuple):
    """A question, and where it is answered."""

    id: str
    question: str
    answers: tuple[str, ...]
    """As several people gave them; none where it has none."""
    places: tuple[tuple[int, int], ...]
    """Where these stand in the paragraph, those that are where the file says."""
    source: str
    start: int
    end: int
    """Its paragraph is `texts[source][start:end]`."""


def read_squad(file: Path) -> tuple[dict[str, str], list[Asked]]:
    """The documents' texts by source, and the questions. Raises UserError where the file is in another format."""
    texts: dict[str, str] = {}
    asked: list[Asked] = []
    try:
        for number, article in enumerate(parse_json(file.read_text(encoding="utf-8"))["data"]):
            title = article.get("title", "").replace("_", " ").strip() or f"article {number}"
            source = title
            while source in texts:
                source = f"{source} ({number})"
            text = title
            for paragraph in article["paragraphs"]:
                start = len(text) + 2
                text += "\n\n" + paragraph["context"]
                asked += [_asked(each, paragraph["context"], source, start) for each in paragraph["qas"]]
            texts[source] = text
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--data {file}: not in SQuAD's format ({error!r}): see docs/data.md") from error
    if not asked:
        raise UserError(f"--data {file}: holds no questions: give another file")
    return texts, asked


def _asked(read: dict[str, Any], paragraph: str, source: str, start: int) -> Asked:
    # Some files write an empty answer where there is none.
    answers = [] if read.get("is_impossible") else [each for each in read["answers"] if each["text"].strip()]
    places = [(int(each["answer_start"]), int(each["answer_start"]) + len(each["text"])) for each in answers]
    right = [
        place
        for place, each in zip(places, answers, strict=True)
        if place[0] >= 0 and paragraph[slice(*place)] == each["text"]
    ]
    given = tuple(each["text"] for each in answers)
    return Asked(str(read["id"]), read["question"].strip(), given, tuple(right), source, start, start + len(paragraph))


def fill_store(folder: Path | str, texts: Mapping[str, str], embedding: Any = None) -> Any:
    """A store in this folder with a document for each text, whose first paragraph is its title."""
    from qa_system.document_processor.documents import Document, Span
    from qa_system.document_processor.text_splitter import split_document, token_counter
    from qa_system.document_processor.vector_store import VectorStore
    from shared.assets import asset_path

    count_tokens = token_counter(asset_path("minilm") / "tokenizer.json")
    store = VectorStore(folder, embedding)
    with progress_bar("indexing", len(texts)) as update:
        for n, (source, text) in enumerate(texts.items(), 1):
            title, _, rest = text.partition("\n\n")
            spans = [Span(0, len(title), heading=1)]
            spans += [Span(len(title) + 2, len(text))] if rest else []
            document = Document(hashlib.sha256(text.encode()).hexdigest(), source, "text", text, tuple(spans))
            store.add(document, split_document(document, count_tokens))
            update(done=n)
    return store
