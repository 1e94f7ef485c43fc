"""The process that opens documents, so that a parser which hangs, crashes or eats memory harms nobody else.

It is started by reader.py and speaks JSON, one message a line. Asked `{"path", "kind", "password", "first", "ocr"}` it
answers `{"opened": pages}`, then `{"page": ...}` for each, then `{"end": true}`; or `{"refused": [reason, line]}`.
Nothing is unpickled: what a hostile file may do to this process cannot become code in the one that reads its answers.
"""

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qa_system.document_processor.errors import Unreadable


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand between the messages

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    limit_memory(int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    for line in sys.stdin:
        try:
            read(json.loads(line), answer)
        except Unreadable as error:
            answer(refused=[error.reason, str(error)])
        except MemoryError:
            answer(refused=["too large", "it needs more memory than the worker may take: split the file"])
        except Exception as error:  # a fault of a library, or of ours: the reader logs it, other documents go on
            places = "".join(traceback.format_tb(error.__traceback__))  # not its words: those may quote the document
            answer(refused=["crash", f"the parser failed ({type(error).__name__})"], trace=places)


def read(request: dict[str, Any], answer: Callable[..., None]) -> None:
    """Answer one request. Raises Unreadable where the document cannot be read."""
    path, kind = Path(request["path"]), request["kind"]
    if kind == "pdf":
        from qa_system.document_processor.pdf_reader import open_pdf, read_pages

        pdf = open_pdf(path, request["password"])
        answer(opened=len(pdf))
        for page in read_pages(pdf, request["first"], request["ocr"]):
            lines = [[each.text, each.joint, each.box, each.size, each.bold, 0] for each in page.lines]
            answer(page=[*page[:-1], lines])
        pdf.close()
    else:
        from qa_system.document_processor import text_reader

        answer(opened=1)
        lines = [[each.text, each.joint, None, 0.0, False, each.heading] for each in text_reader.read_lines(path, kind)]
        answer(page=[1, 0, 0, "text" if lines else "empty", "", lines])
    answer(end=True)


def limit_memory(megabytes: int) -> None:
    """Let this process take so much memory of its own, where the system knows such a limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 10**6,) * 2)


def _end_with_parent(parent: int) -> None:
    """A parent that was killed cannot end us; a page that hangs must not run on for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
