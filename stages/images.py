"""Decode the images of the corpus or of one benchmark into Arrow shards."""

from pathlib import Path

from pipeline.images.shards import build_shards
from pipeline.schemas import IMAGES, read_table
from stages.common import run, stage_params, workers


def main(tables: Path, folder: str, out: Path, size: int) -> None:
    params = stage_params("data", "images")
    counts = build_shards(
        read_table(tables / "images.parquet", IMAGES),
        Path(params.data.root) / folder,
        out,
        size=size,
        workers=workers(),
        max_broken=params.images.max_broken,
        cache=Path(".checkpoints/images") / out.name,
    )
    print(f"{counts['images']} images in {counts['shards']} shards; {counts['broken']} cannot be decoded.")


if __name__ == "__main__":
    run(main)
