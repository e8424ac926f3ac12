import polars as pl
import pytest

from pipeline import tracking
from pipeline.ablation import Ablation
from pipeline.reporting.terminal import Shown
from pipeline.reporting.tested import print_ablation


def test_an_ablation_of_medfilip_has_its_papers_rows_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = pl.DataFrame({
        "name": ["medfilip", "medfilip ssm=false"], "switches": ["", "ssm=false"], "status": ["FINISHED"] * 2,
        "model_hash": ["a", "b"], "zero_shot.cxr14.auroc": [0.82, 0.80], "zero_shot.cxr14.f1": [0.3, 0.4],
    }).with_columns(
        pl.lit("medfilip").alias("params.method"), pl.lit("0").alias("params.seed"), pl.Series("started", [1, 2]),
        pl.Series("params.loss.ssm", ["true", "false"]), pl.lit(0.25).alias("zero_shot.cxr14.common10.f1_oracle"),
    )  # fmt: skip

    class Rows(Ablation):
        def params(self, row: str) -> dict[str, str]:
            return {"method": "medfilip", "loss.ssm": str(row == "full").lower()}

    monkeypatch.setattr(tracking, "runs", lambda: runs)
    rows = Rows("medfilip", {"without": ("loss.ssm=false",), "full": ()}, "full")
    print_ablation(None, rows, Shown(markdown=True))
    text = capsys.readouterr().out
    (without,) = (
        line for line in text.splitlines() if "MedFILIP (ablation, MedFILIP paper) ssm=false iki=false" in line
    )
    assert without.endswith("| 0.245 |")
    assert "No test of zero_shot.cxr14.common10" not in text
