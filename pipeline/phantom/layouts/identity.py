"""Made-up identifiers in the datasets' own forms, drawn from a generator so that a seed gives the same ones."""

import numpy as np

_ORGANISATION = "1.2.276.0.7230010.3.1"


def distinct_numbers(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    """Distinct integers of [low, high), in rising order."""
    numbers: set[int] = set()
    while len(numbers) < count:
        numbers |= {int(number) for number in rng.integers(low, high, count - len(numbers))}
    return sorted(numbers)


def hexadecimal(rng: np.random.Generator, digits: int) -> str:
    """Lower-case hexadecimal digits."""
    return "".join("0123456789abcdef"[digit] for digit in rng.integers(0, 16, digits))


def dicom_id(rng: np.random.Generator) -> str:
    """Five groups of eight digits, as MIMIC-CXR names images."""
    return "-".join(hexadecimal(rng, 8) for _ in range(5))


def uuid(rng: np.random.Generator) -> str:
    """Groups of 8, 4, 4, 4 and 12 digits."""
    return "-".join(hexadecimal(rng, digits) for digits in (8, 4, 4, 4, 12))


def uid(rng: np.random.Generator, kind: int) -> str:
    """A DICOM unique identifier; kind is 2 for a study, 3 for a series, 4 for an image."""
    first, second, third = (int(part) for part in rng.integers(1000, 10**6, 3))
    return f"{_ORGANISATION}.{kind}.8323329.{first}.{1517800000 + second}.{third}"
