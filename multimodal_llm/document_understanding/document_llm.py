"""A language model that reads documents, by its address: the page's text or picture goes out, an answer comes back.

Any server of OpenAI's chat protocol serves (llama.cpp, Ollama, vLLM ...). It answers in words and says not where they
stand; so its answer is looked for on the pages afterwards. What stands nowhere is told as such: the model may have
put it in its own words, or made it up.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any

from multimodal_llm.document_understanding.document import Page, Word
from multimodal_llm.document_understanding.document_qa import Answer, abstain, check_question, no_text
from multimodal_llm.document_understanding.rows import compact
from multimodal_llm.document_understanding.text_metrics import edit_distance
from shared.endpoint import Endpoint
from shared.reading_order import Rectangle, around

NOT_THERE = "NOT IN THE DOCUMENT"
INSTRUCTION = (
    "Answer the question from the document alone, with the shortest words that stand in it, copied as they are. "
    f"If it does not say, answer exactly: {NOT_THERE}"
)
MOST_TEXT = 12_000  # characters of the pages that are sent; some 4,000 tokens
MOST_ANSWER = 200  # tokens
MISREAD = 0.2  # of an answer's letters may differ from those on the page


def ask(
    question: str, pages: Sequence[Page], endpoint: Endpoint, picture: Any = None, temperature: float = 0.0
) -> Answer:
    """The model's answer with the place where it stands. With `picture`, a PIL image, the page is sent as it looks.

    Raises UserError as `document_qa.answer` does, and where the server is not there or refuses.
    """
    question = check_question(question, pages)
    if picture is None and not any(page.lines for page in pages):
        return abstain(no_text(pages))
    said = "".join(
        endpoint.stream(messages(question, pages, picture), max_new_tokens=MOST_ANSWER, temperature=temperature)
    )
    said = " ".join(said.split()).strip("\"'")
    if not said or NOT_THERE.lower() in said.lower():
        return abstain("the model says that the document does not tell")
    place = find_words(said, pages)
    if place is None:
        return Answer(said, None, None, 0.0, "the model's own words: they stand nowhere on the pages")
    page, box, likeness = place
    return Answer(said, page, box, likeness, f"the model's answer, found on page {page}")


def messages(question: str, pages: Sequence[Page], picture: Any = None) -> list[dict[str, Any]]:
    """What is sent: how to answer, and the document with the question."""
    if picture is None:
        text = "\n\n".join(f"[page {page.number}]\n{page.text}" for page in pages)[:MOST_TEXT]
        content: Any = f"Document:\n{text}\n\nQuestion: {question}"
    else:
        address = f"data:image/jpeg;base64,{_jpeg(picture)}"
        content = [
            {"type": "image_url", "image_url": {"url": address}},
            {"type": "text", "text": f"Question: {question}"},
        ]
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": content}]


def find_words(text: str, pages: Sequence[Page]) -> tuple[int, Rectangle, float] | None:
    """The page and the box of the words that are most like a text, and how alike they are (0 to 1), if any are."""
    wanted = compact(text)
    best: tuple[int, Rectangle, float] | None = None
    for page in pages:
        words = [word for line in page.lines for word in line.words if compact(word.text)]
        for run in _runs(words, len(wanted)):
            said = compact("".join(word.text for word in run))
            if abs(len(said) - len(wanted)) > MISREAD * len(wanted):
                continue
            likeness = 1.0 if said == wanted else 1.0 - edit_distance(said, wanted) / max(len(wanted), 1)
            if likeness >= 1.0 - MISREAD and (best is None or likeness > best[2]):
                best = page.number, around(word.box for word in run), likeness
                if likeness == 1.0:
                    return best
    return best


def _runs(words: Sequence[Word], length: int) -> Iterator[Sequence[Word]]:
    """From each word on, the words that have about so many letters together: just fewer, and just enough."""
    for first in range(len(words)):
        letters, last = 0, first
        while letters < length and last < len(words):
            letters += len(compact(words[last].text))
            last += 1
        if last - first > 1:
            yield words[first : last - 1]
        yield words[first:last]


def _jpeg(picture: Any) -> str:
    file = io.BytesIO()
    copy = picture.convert("RGB")
    copy.thumbnail((1600, 1600))
    copy.save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode("ascii")
