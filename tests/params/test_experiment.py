from pathlib import Path
from typing import get_args

import pytest
import torch

from pipeline.benchmarks import BENCHMARKS
from pipeline.corpora import CORPORA
from pipeline.errors import ParamsError
from pipeline.params import BENCHMARKS as KNOWN
from pipeline.params import Corpus, compose, parse_params
from pipeline.training.augmentation import DRAWS, AugmentConfig, augment, plain

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("group", ["corpus", "method", "scale"])
def test_every_group_composes_to_valid_params(group):
    for option in sorted((ROOT / "conf" / group).glob("*.yaml")):
        _, values = compose(ROOT / "conf", [f"{group}={option.stem}"])
        parse_params(values)


def test_every_benchmark_can_be_added_to_any_corpus():
    names = [path.stem for path in (ROOT / "conf/benchmark").glob("*.yaml")]
    assert set(names) == set(BENCHMARKS) == set(KNOWN)
    _, values = compose(ROOT / "conf", ["corpus=csv", f"+benchmark=[{','.join(sorted(names))}]"])
    params = parse_params(values)
    assert list(params.benchmarks) == sorted(names)
    for name, benchmark in params.benchmarks.items():
        source = BENCHMARKS[name].SOURCE
        assert (benchmark.folder, benchmark.labels in source.label_files) == (source.folder, True)


def test_every_corpus_has_a_reader_of_its_usual_folder():
    assert set(get_args(Corpus.model_fields["name"].annotation)) == set(CORPORA)
    for name in CORPORA:
        _, values = compose(ROOT / "conf", [f"corpus={name}"])
        assert values["corpus"]["folder"] == CORPORA[name].SOURCE.folder
        assert values["corpus"]["labels"] in CORPORA[name].SOURCE.label_files


@pytest.mark.parametrize("method", ["medslip", "medfilip", "convirt"])
@pytest.mark.parametrize("scale", ["demo", "tiny", "paper"])
def test_every_method_has_its_own_values_at_every_scale(method, scale):
    _, values = compose(ROOT / "conf", [f"method={method}", f"scale={scale}"])
    params = parse_params(values)
    assert (params.method, params.scale) == ("medslip" if method == "medslip" else "medfilip", scale)
    size = {"demo": 112, "tiny": 64, "paper": 224 if method == "medslip" else 448}[scale]
    assert params.images.size == size
    assert params.labels.entities == (method != "convirt")


def test_the_papers_medfilip():
    _, values = compose(ROOT / "conf", ["scale=paper", "method=medfilip"])
    params = parse_params(values)
    assert (params.train.optimizer, params.train.lr, params.train.epochs) == ("sgd", 0.006, 100)
    assert params.train.restarts > 0
    assert params.text_encoder.source == "emilyalsentzer/Bio_ClinicalBERT"
    assert (params.loss.itm, params.loss.ssm, params.loss.plain, params.loss.texts) == ("ce", True, 0.0, 0)
    images, draws = torch.randint(256, (20, 16, 16), dtype=torch.uint8), torch.rand(20, DRAWS)
    varied = augment(images, draws, AugmentConfig(**params.augment.model_dump()))
    torch.testing.assert_close(varied, plain(images), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=medfilip", "+loss.icl=true"], "loss.icl is not a parameter"),
        (["+loss.ssm=true"], "loss.ssm is not a parameter"),
        (["method=medfilip", "labels.entities=false"], "augment.flip = laterality needs labels.entities: set none"),
        (["method=convirt", "labels.unmentioned=ignore"], "labels.unmentioned = ignore needs labels.entities"),
        (["knowledge.explanations=false"], "knowledge.explanations is MedFILIP's switch"),
        (["method=medfilip", "model.imported=models/x"], "model.imported = 'models/x'"),
    ],
)
def test_settings_of_one_method_are_none_of_the_other(overrides, message):
    _, values = compose(ROOT / "conf", overrides)
    with pytest.raises(ParamsError, match=message):
        parse_params(values)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["+benchmarks.nih={folder: nih, labels: a.csv}"],
            "params.yaml: benchmarks.nih is no benchmark; those are cxr14, rsna",
        ),
        (["corpus_benchmarks=[mimic17]"], "corpus_benchmarks.0 = 'mimic17'"),
        (["retrieval=[mimic]"], "retrieval.0 = 'mimic': input should be 'corpus'"),
        (["+benchmarks.rsna.votes=2"], "benchmarks.rsna.votes is not a parameter"),
        (["+benchmark=vinbigdata", "benchmarks.vinbigdata.votes=4"], "benchmarks.vinbigdata.votes = 4"),
    ],
)
def test_benchmarks_must_fit(overrides, message):
    _, values = compose(ROOT / "conf", overrides)
    with pytest.raises(ParamsError, match=message):
        parse_params(values)
