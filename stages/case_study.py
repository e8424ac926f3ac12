"""How alike diseases and severities look to the frozen text encoder and to the trained model, in three styles."""

from pathlib import Path
from typing import Any

from pipeline.benchmarks.corpus import corpus_findings
from pipeline.evaluation.results import write_results
from pipeline.evaluation.scorer import Prompts
from pipeline.evaluation.similarity import contrast, cosines
from pipeline.schemas import STUDIES, TRIPLETS, read_table
from pipeline.semantics.knowledge import Knowledge, load_knowledge
from pipeline.semantics.label_texts import label_text
from pipeline.semantics.prompts import BENCHMARK_TEMPLATE, Finding
from pipeline.semantics.text_encoder import load_encoder
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import load_scorer

OUT = Path("reports/case_study.json")


def main() -> None:
    params = stage_params("seed", "threads", "text_encoder")
    fix_torch(params)
    triplets = read_table(Path("data/triplets.parquet"), TRIPLETS)
    findings = corpus_findings("mimic_fg", triplets, read_table(Path("data/corpus/studies.parquet"), STUDIES))
    diseases = [disease for disease, _ in findings.values()]
    encoder, scorer = load_encoder("models/text_encoder"), load_scorer()
    similarity: dict[str, Any] = {}  # of the frozen encoder
    contrasts: dict[str, dict[str, Any]] = {"frozen": {}, "trained": {}}
    for style, texts in styles(list(findings.values()), load_knowledge()).items():
        frozen = encoder.encode(texts, params.text_encoder.pooling)
        trained = scorer.embed_text(Prompts(texts, frozen))
        similarity[style] = cosines(frozen).tolist()
        for model, vectors in (("frozen", frozen), ("trained", trained)):
            contrasts[model][style] = contrast(cosines(vectors), diseases)
    results = {"texts": list(findings), "styles": [*similarity], "contrast": contrasts, "similarity": similarity}
    write_results(results, OUT)


def styles(findings: list[Finding], knowledge: Knowledge) -> dict[str, tuple[str, ...]]:
    """The findings as the paper's case study words them: the template names the disease alone."""
    return {
        "template": tuple(BENCHMARK_TEMPLATE.format(pathology=disease) for disease, _ in findings),
        "fine-grained": tuple(label_text(disease, None, severity, None) for disease, severity in findings),
        "explanation": tuple(label_text(disease, None, severity, knowledge) for disease, severity in findings),
    }


if __name__ == "__main__":
    run(main)
