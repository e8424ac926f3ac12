"""Decode the images of the corpus into Arrow shards."""

from pathlib import Path

from pipeline.images.shards import build_shards
from pipeline.schemas import IMAGES, read_table
from stages.common import run, stage_params, workers


def main(size: int) -> None:
    params = stage_params("data", "corpus", "images")
    folder = Path(params.data.root) / params.corpus.folder
    decode_dataset(Path("data/corpus"), folder, Path("data/images/corpus"), size, params.images.max_broken)


def decode_dataset(tables: Path, folder: Path, out: Path, size: int, max_broken: int) -> None:
    """Decode the images that a dataset's tables list, from its folder into shards at `out`."""
    counts = build_shards(
        read_table(tables / "images.parquet", IMAGES),
        folder,
        out,
        size=size,
        workers=workers(),
        max_broken=max_broken,
        cache=Path(".checkpoints/images") / out.name,
    )
    print(f"{counts['images']} images in {counts['shards']} shards; {counts['broken']} cannot be decoded.")


if __name__ == "__main__":
    run(main)
