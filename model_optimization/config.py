"""What the whole project is told. Nothing here loads torch: `--help` is quick."""

from pathlib import Path

PROJECT = "model_optimization"
# The classifier that bert_sentiment_analysis ships, by its files.
SUBJECT = str(Path(__file__).parent.parent / "bert_sentiment_analysis" / "weights" / "english-sentiment")
# The student of it that this project ships (shipped_student.py).
STUDENT = str(Path(__file__).with_name("weights") / "student")
# What a stream is compared with by default; beside it are the samples that the demo page mixes (make_shipped.py).
REFERENCE = str(Path(__file__).parent / "monitoring" / "shipped" / "reference")
