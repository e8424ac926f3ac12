"""Stages that only move tables start in a second: they do without the libraries that take several to import."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "spacy", "mlflow", "sklearn", "matplotlib")


@pytest.mark.parametrize("stage", ["phantom", "corpus", "images", "benchmark", "triplets", "query_sets", "existence"])
def test_a_stage_that_moves_tables_imports_nothing_heavy(stage: str) -> None:
    code = f"import sys, stages.{stage}; print(*(name for name in {HEAVY} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []


@pytest.mark.parametrize("stage", ["zero_shot", "grounding", "embeddings", "report"])
def test_an_evaluation_needs_no_transformers_and_no_mlflow(stage: str) -> None:
    code = f"import sys, stages.{stage}; print(*(name for name in ('transformers', 'mlflow') if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []
