"""What the benchmark `compress` says of its rows."""

from model_optimization import benchmark
from model_optimization.benchmark import CompressConfig, compared, compress
from shared.files import write_json

ROWS = [
    {"method": method, "batch": batch, "size_mb": size, "speed_up": batch * quicker, "loss": loss}
    for batch in (1, 16)
    for method, size, quicker, loss in (("fp32_torch", 90.0, 1.0, 0.0), ("student_int8", 9.0, 5.0, 0.01))
]


def test_a_method_is_compared_with_the_baseline_of_its_own_batch_size():
    assert compared(ROWS, "student_int8", 16) == {
        "method": "student_int8",
        "quicker": 80.0,
        "smaller": 10.0,
        "loss": 0.01,
    }
    assert compared(ROWS, "trimmed", 1) == {}, "a method that failed has no row"


def test_all_rows_are_kept_and_the_recommended_ones_compared(monkeypatch, tmp_path):
    shown = {name: 1.0 for name in benchmark.SHOWN}
    rows = [{**shown, **row} for row in ROWS]
    found = {"rows": rows, "failed": {"openvino": "not here"}, "recommended": {"many_texts": "student_int8"}}
    asked = []
    monkeypatch.setattr("model_optimization.optimize.optimize", lambda settings: asked.append(settings) or dict(found))
    outcome = compress(CompressConfig(train=True, turns=2))
    assert asked[0].train and asked[0].turns == 2
    assert outcome.result["rows"] == rows and outcome.result["failed"] == {"openvino": "not here"}
    assert outcome.result["many_texts"]["quicker"] == 80.0 and outcome.result["stack_1"]["quicker"] == 5.0
    write_json(tmp_path / "line.json", outcome.result)
