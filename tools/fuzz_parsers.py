"""Every parser of what users bring, with files that it can read, for tools/fuzz.py to damage.

Left out is what has a server or a sandbox of its own around it and is tried elsewhere: HTTP requests (the projects'
`benchmark faults`, by schemathesis) and programs that a model wrote (gpt_text_generation/sandbox).
"""

from tools import fuzz_documents, fuzz_pictures, fuzz_texts

PARSERS = {parser.name: parser for module in (fuzz_texts, fuzz_documents, fuzz_pictures) for parser in module.PARSERS}
