"""The table of drawn severities, which lets results be listed by severity; no real dataset has it."""

from collections.abc import Iterable

import polars as pl

from pipeline.phantom.scene import Case


def severity_table(images: Iterable[tuple[str, Case]]) -> pl.DataFrame:
    """image_id, finding (canonical pathology), severity: one row per drawn finding."""
    rows = [(image_id, finding.name, finding.severity) for image_id, case in images for finding in case.findings]
    return pl.DataFrame(rows, schema=dict.fromkeys(("image_id", "finding", "severity"), pl.String), orient="row")
