"""What we measure of this project.

python -m qa_system.benchmark ingest --data $DATA/pdfs       broken, scanned, long PDFs: what is refused and recovered
python -m qa_system.benchmark retrieval --data $DATA/retrieval/scifact     BM25, dense and hybrid on a BEIR collection
python -m qa_system.benchmark fusion --data $DATA/retrieval/scifact        settings of hybrid search, tried on train
python -m qa_system.benchmark answers --data $DATA/qa/squad-dev-v2.0-half.json     answers, citations, abstaining
python -m qa_system.benchmark faults --data $DATA/pdfs       bad uploads, many askers, kills: what is lost
"""

from pathlib import Path

from qa_system import answer_benchmark, faults_benchmark, fusion_benchmark, retrieval_benchmark
from qa_system.document_processor import ingest_benchmark
from shared.benchmark import run_benchmarks
from shared.errors import run_program

MODULES = (ingest_benchmark, retrieval_benchmark, fusion_benchmark, answer_benchmark, faults_benchmark)
BENCHMARKS = {name: each for module in MODULES for name, each in module.BENCHMARKS.items()}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
