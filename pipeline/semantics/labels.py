"""Existence labels for the training loop: dense matrices of a batch, gathered from the sparse table.

Needs numpy, pyarrow and torch only. What an unmentioned or uncertain pair means to a loss is decided there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from pipeline.errors import TableError

UNMENTIONED = -1


@dataclass(frozen=True)
class ExistenceMatrix:
    """The existence matrices of a sequence of samples, as compressed sparse rows.

    Attributes:
        anatomies: rows of a matrix, A.
        pathologies: columns of a matrix, P.
        starts: int64 [N], where each sample's entries begin in cells and values.
        lengths: int64 [N], how many it has.
        cells: int32, anatomy * P + pathology of each entry.
        values: int8, 1 present, 0 absent, 2 uncertain.
    """

    anatomies: int
    pathologies: int
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int32]
    values: npt.NDArray[np.int8]

    @classmethod
    def load(cls, existence: Path, query_sets: Path, study_ids: Sequence[str]) -> "ExistenceMatrix":
        """Read the labels of samples.

        Args:
            existence: Parquet of the schema EXISTENCE.
            query_sets: Parquet of the schema QUERY_SETS, which says how large a matrix is.
            study_ids: the study of each sample; a study may repeat, one without entries has nothing mentioned.

        Raises:
            TableError: a file is missing, lacks a column, or an index lies outside the query sets.
        """
        kinds = _read(query_sets, ["kind"])["kind"]
        anatomies, pathologies = (pc.sum(pc.equal(kinds, kind)).as_py() or 0 for kind in ("anatomy", "pathology"))
        table = _read(existence, ["study_id", "anatomy", "pathology", "value"])
        studies, study_of_sample = np.unique(np.asarray(study_ids, dtype=object), return_inverse=True)
        study = pc.index_in(table["study_id"], value_set=pa.array(studies, pa.string()))
        table = table.append_column("study", study).filter(pc.is_valid(study)).sort_by("study")
        row, column = (table[name].to_numpy().astype(np.int32) for name in ("anatomy", "pathology"))
        if row.size and (row.max() >= anatomies or column.max() >= pathologies):
            raise TableError(
                f"{existence} has indices outside the query sets of {query_sets}: run `dvc repro existence`."
            )
        lengths = np.bincount(table["study"].to_numpy(), minlength=len(studies)).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        values = table["value"].to_numpy().astype(np.int8)
        cells = row * np.int32(pathologies) + column
        return cls(anatomies, pathologies, starts[study_of_sample], lengths[study_of_sample], cells, values)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def stated(self) -> npt.NDArray[np.bool_]:
        """Whether anything is said of each sample [N]."""
        return self.lengths > 0

    def gather(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """The matrices of some samples.

        Args:
            rows: [B] indices into the samples.

        Returns:
            int8 [B, A, P]: 1 present, 0 absent, 2 uncertain, -1 not mentioned.
        """
        lengths = self.lengths[rows]
        sample = np.repeat(np.arange(len(rows)), lengths)
        # entry k of the batch is entry (k - first of its sample) of that sample
        within = np.arange(len(sample)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        entries = np.repeat(self.starts[rows], lengths) + within
        matrices = np.full((len(rows), self.anatomies * self.pathologies), UNMENTIONED, dtype=np.int8)
        matrices[sample, self.cells[entries]] = self.values[entries]
        return torch.from_numpy(matrices.reshape(len(rows), self.anatomies, self.pathologies))


def _read(path: Path, columns: list[str]) -> pa.Table:
    if not path.is_file():
        raise TableError(f"{path} is missing: run `dvc repro` to build it, or `dvc pull` to fetch it.")
    try:
        table = pq.read_table(path)
        return table.select(columns)
    except (pa.ArrowInvalid, KeyError) as error:
        raise TableError(
            f"{path} lacks the columns {', '.join(columns)} or is no Parquet file: run `dvc repro`."
        ) from error
