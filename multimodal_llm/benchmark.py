"""What we measure of this project.

python -m multimodal_llm.benchmark captions --data FLICKR_DIR    how good are the captions, beside a person's?
python -m multimodal_llm.benchmark zero_shot --data DIR          how often is the right label first, learnt or not?
python -m multimodal_llm.benchmark search --data FLICKR_DIR      how often is the right photo first, and how fast?
python -m multimodal_llm.benchmark vqa                           questions about shapes: right, and aware of its limits?
python -m multimodal_llm.benchmark documents --data SROIE_DIR    how much of a receipt is read right, and how fast?
python -m multimodal_llm.benchmark layout --data PUBLAYNET_DIR   are a page's blocks where people see them?
python -m multimodal_llm.benchmark tables --data PUBTABNET_DIR   are a table's rows and columns its author's?
"""

from pathlib import Path

from multimodal_llm.caption_benchmark import CaptionsConfig, captions
from multimodal_llm.document_benchmark import (
    DocumentsConfig,
    LayoutConfig,
    TablesConfig,
    documents,
    layout,
    tables,
)
from multimodal_llm.search_benchmark import SearchConfig, search
from multimodal_llm.vqa_benchmark import VqaBenchmarkConfig, vqa
from multimodal_llm.zero_shot_benchmark import ZeroShotConfig, zero_shot
from shared.benchmark import Benchmark, run_benchmarks
from shared.errors import run_program

BENCHMARKS = {
    "captions": Benchmark(CaptionsConfig, captions, data="images/flickr8k", sample={"n": 300, "n_tags": 30}),
    "zero_shot": Benchmark(ZeroShotConfig, zero_shot, data="images/nips17"),
    "search": Benchmark(SearchConfig, search, data="images/flickr8k"),
    "vqa": Benchmark(VqaBenchmarkConfig, vqa),
    "documents": Benchmark(DocumentsConfig, documents, data="documents/sroie"),
    "layout": Benchmark(LayoutConfig, layout, data="documents/publaynet"),
    "tables": Benchmark(TablesConfig, tables, data="documents/pubtabnet"),
}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
