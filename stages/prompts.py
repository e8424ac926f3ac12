"""Encode the prompts of the query sets and of every benchmark's findings with the frozen text encoder."""

from pathlib import Path

from pipeline.benchmarks import BENCHMARKS
from pipeline.benchmarks.corpus import corpus_findings
from pipeline.params import Params
from pipeline.schemas import PROMPTS, QUERY_SETS, STUDIES, TRIPLETS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.prompts import KNOWN_DISEASE, UNSEEN, Finding, prompt_table
from pipeline.semantics.text_encoder import load_encoder
from pipeline.semantics.vectors import encode_prompts, write_vectors
from stages.common import run, stage_params
from stages.determinism import fix_torch

MODELS = Path("models")


def main() -> None:
    params = stage_params("seed", "threads", "benchmarks", "corpus_benchmarks", "text_encoder", "knowledge")
    fix_torch(params)
    query_sets = read_table(Path("data/query_sets.parquet"), QUERY_SETS)
    findings = asked_findings(params)
    knowledge = load_knowledge()
    injected = knowledge if params.knowledge.explanations else None
    prompts = prompt_table(query_sets, findings, knowledge, injected)
    vectors = encode_prompts(prompts, load_encoder(str(MODELS / "text_encoder")), params.text_encoder.pooling)
    training = {key: value for key, value in vectors.items() if key.startswith(("pathology/", "anatomy/"))}
    write_vectors(training, MODELS / "prompts.safetensors")
    others = {key: value for key, value in vectors.items() if key not in training}
    write_vectors(others, MODELS / "benchmark_prompts/vectors.safetensors")
    write_table(prompts, MODELS / "benchmark_prompts/prompts.parquet", PROMPTS)


def asked_findings(params: Params) -> dict[str, dict[str, Finding]]:
    """The findings of every benchmark, and the known disease by whose name an unseen one is asked for."""
    studies = read_table(Path("data/corpus/studies.parquet"), STUDIES)
    triplets = read_table(Path("data/triplets.parquet"), TRIPLETS)
    canonical = {name: BENCHMARKS[name].FINDINGS.values() for name in params.benchmarks}
    published: dict[str, dict[str, Finding]] = {
        name: {finding: (finding, None) for finding in found} for name, found in canonical.items()
    }
    corpus = {name: corpus_findings(name, triplets, studies) for name in params.corpus_benchmarks}
    return published | corpus | {UNSEEN: {KNOWN_DISEASE: (KNOWN_DISEASE, None)}}


if __name__ == "__main__":
    run(main)
