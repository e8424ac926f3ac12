"""Reports to (pathology, anatomy, existence, severity) triplets, and triplets to a dataset's labels."""

from pipeline.triplets.extract import extract
from pipeline.triplets.findings import findings
from pipeline.triplets.score import score, score_severity

__all__ = ["extract", "findings", "score", "score_severity"]
