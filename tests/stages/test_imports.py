"""Stages that only move tables start in a second: they do without the libraries that take several to import."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "spacy", "mlflow", "sklearn", "matplotlib")


@pytest.mark.parametrize(
    "stage",
    ["phantom", "corpus", "images", "benchmark", "triplets", "corpus_benchmark", "query_sets", "existence"],
)
def test_a_stage_that_moves_tables_imports_nothing_heavy(stage: str) -> None:
    code = f"import sys, stages.{stage}; print(*(name for name in {HEAVY} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []


# not segment: MONAI, whose U-Net it trains, imports both on its own
@pytest.mark.parametrize(
    "stage", ["zero_shot", "unseen", "grounding", "finding_maps", "embeddings", "finetune", "report"]
)
def test_an_evaluation_needs_no_transformers_no_mlflow_and_no_monai(stage: str) -> None:
    named = ("transformers", "mlflow", "monai")
    code = f"import sys, stages.{stage}; print(*(name for name in {named} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []
