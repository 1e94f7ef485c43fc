"""What the whole project is told. Nothing here loads torch: `--help` is quick."""

from pathlib import Path

PROJECT = "model_optimization"
# The classifier that bert_sentiment_analysis ships, by its files.
SUBJECT = str(Path(__file__).parent.parent / "bert_sentiment_analysis" / "weights" / "english-sentiment")
