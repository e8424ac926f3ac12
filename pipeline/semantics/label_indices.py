"""Structured labels for the training loop: each sample's indices, padded to one length.

How labels come about is in `structured_labels`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from pipeline.errors import TableError
from pipeline.schemas import ABSENT, FINDINGS, PRESENT, STUDY_LABELS, UNCERTAIN, read_table

NOTHING = -1


@dataclass(frozen=True)
class LabelIndices:
    """The labels of a sequence of samples.

    Attributes:
        indices: int32 [N, 5, K], padded with NOTHING: labels present and uncertain, categories present, uncertain and
            absent.
    """

    indices: npt.NDArray[np.int32]

    @classmethod
    def load(cls, folder: Path, study_ids: Sequence[str], labels: int) -> "LabelIndices":
        """Read the labels of samples.

        Args:
            folder: of labels.parquet and findings.parquet.
            study_ids: the study of each sample; a study may repeat.
            labels: how many labels there are.

        Raises:
            TableError: a file is missing or breaks its schema, or an index is out of range.
        """
        stated = read_table(folder / "labels.parquet", STUDY_LABELS)
        findings = read_table(folder / "findings.parquet", FINDINGS).rename({"category": "label"})
        kinds = [
            *(stated.filter(pl.col("state") == state) for state in (PRESENT, UNCERTAIN)),
            *(findings.filter(pl.col("state") == state) for state in (PRESENT, UNCERTAIN, ABSENT)),
        ]
        if any(not kind["label"].is_between(0, labels - 1).all() for kind in kinds):
            raise TableError(f"{folder} names labels that its texts.parquet lacks: run `dvc repro labels`.")
        studies = pl.Series("study_id", study_ids, dtype=pl.String)
        counts = pl.concat([kind.group_by("study_id").len() for kind in kinds])["len"].to_numpy()
        longest = int(counts.max(initial=1))
        return cls(np.stack([_padded(kind, studies, longest) for kind in kinds], axis=1))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def stated(self) -> npt.NDArray[np.bool_]:
        """Whether anything is said of each sample [N]."""
        stated: npt.NDArray[np.bool_] = np.any(self.indices != NOTHING, axis=(1, 2))
        return stated

    def gather(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """int64 [n, 5, K] of some samples."""
        return torch.from_numpy(self.indices[rows]).long()


def _padded(kind: pl.DataFrame, studies: pl.Series, longest: int) -> npt.NDArray[np.int32]:
    """Each sample's labels in rising order [N, longest]."""
    distinct = studies.unique(maintain_order=True).to_frame().with_row_index("row")
    found = kind.join(distinct, on="study_id").sort("row", "label")
    places = found.select("row", "label", place=pl.int_range(pl.len()).over("row"))
    padded = np.full((len(distinct), longest), NOTHING, dtype=np.int32)
    padded[places["row"].to_numpy(), places["place"].to_numpy()] = places["label"].to_numpy()
    rows = studies.to_frame().join(distinct, on="study_id", maintain_order="left")["row"]
    return padded.take(rows.to_numpy(), axis=0)
