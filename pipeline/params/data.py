"""Where datasets lie, and how many phantoms stand in for them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import Natural, Positive, Section

Below = Annotated[str, Field(pattern=r"[^./]")]  # a path that is not the folder itself
BENCHMARKS = ("cxr14", "rsna", "siim", "covidx", "covid_chestxray", "vinbigdata", "rahman")


class Data(Section):
    """Where the datasets lie; `data/phantom` means the phantoms that the pipeline draws itself."""

    root: str


class Corpus(Section):
    """The image-report pairs to pre-train on."""

    name: Literal["mimic_cxr", "covid_chestxray", "openi", "csv"]
    folder: str  # below data.root; "." when data.root is the dataset itself
    labels: Below  # the table that is read, below the folder; of openi the folder of reports
    views: tuple[str, ...]  # wanted; none means all images, whether their view is known or not
    sections: tuple[Literal["findings", "impression"], ...] = Field(min_length=1)


class Phantom(Section):
    """How many phantoms to draw, and how large."""

    size: Annotated[int, Field(ge=64, le=1024)]  # pixels
    studies: Positive  # of the pre-training corpus
    cxr14: Positive  # images of each benchmark
    rsna: Positive
    siim: Positive
    covidx: Positive
    vinbigdata: Positive
    rahman: Positive


class BenchmarkFolder(Section):
    """Where one benchmark lies."""

    folder: str  # below data.root; "." when data.root is the dataset itself
    labels: Below  # the table that is read, below the folder; of covidx the test list
    votes: Annotated[int, Field(ge=1, le=3)] | None = None  # vinbigdata: radiologists of three who must name a finding


class Images(Section):
    """Decoded images."""

    size: Annotated[int, Field(ge=32, le=1024)]  # pixels of the square that training sees
    max_broken: Natural  # more unreadable images than this stop the stage
