"""Which pathologies of the lexicon are diseases to tell apart, and which disease a narrower name counts for.

Left out are devices, the statement that all is normal, and names so broad that most diseases are among them.
"""

from functools import cache

import polars as pl

from pipeline.triplets.lexicon import load_lexicon

NO_DISEASE = ("normal", "abnormality", "process", "lesion", "opacity", "device")


def by_disease(triplets: pl.DataFrame) -> pl.DataFrame:
    """Triplets of diseases, one row for each disease that a triplet names: "hemothorax" is a pleural effusion too.

    Args:
        triplets: schema TRIPLETS.

    Returns:
        Its columns and `disease`; triplets that name no disease are left out.
    """
    return triplets.join(_names(), on="pathology", how="inner", maintain_order="left_right")


@cache
def _names() -> pl.DataFrame:
    """pathology, disease: the pathology itself and every disease above it."""
    pathologies = load_lexicon().pathologies
    rows = []
    for name in pathologies:
        chain = [name]
        while (parent := pathologies[chain[-1]].parent) is not None:
            chain.append(parent)
        if chain[-1] != "device":
            rows += [(name, disease) for disease in chain if disease not in NO_DISEASE]
    return pl.DataFrame(rows, schema={"pathology": pl.String, "disease": pl.String}, orient="row")
