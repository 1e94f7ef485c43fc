"""What we measure of this project.

python -m qa_system.benchmark ingest --data $DATA/pdfs       broken, scanned, long PDFs: what is refused and recovered
python -m qa_system.benchmark retrieval --data $DATA/retrieval/scifact     BM25, dense and hybrid on a BEIR collection
python -m qa_system.benchmark fusion --data $DATA/retrieval/scifact        settings of hybrid search, tried on train
"""

from pathlib import Path

from qa_system import fusion_benchmark, retrieval_benchmark
from qa_system.document_processor import ingest_benchmark
from shared.benchmark import run_benchmarks
from shared.errors import run_program

BENCHMARKS = {**ingest_benchmark.BENCHMARKS, **retrieval_benchmark.BENCHMARKS, **fusion_benchmark.BENCHMARKS}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
