from pathlib import Path
from typing import get_args

import pytest
import torch

from pipeline.benchmarks import BENCHMARKS
from pipeline.corpora import CORPORA
from pipeline.errors import ParamsError
from pipeline.networks import medfilip, medslip
from pipeline.params import BENCHMARKS as KNOWN
from pipeline.params import Corpus, compose, methods, parse_params
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


def test_the_papers_medslip():
    _, values = compose(ROOT / "conf", ["scale=paper"])
    params = parse_params(values)
    model, loss, train, augment = params.model, params.loss, params.train, params.augment
    assert (model.block, model.depths, model.widths) == (
        "bottleneck",
        (3, 4, 6),
        (256, 512, 1024),
    )  # ResNet-50 less one
    assert (model.hidden_size, model.heads, model.layers, model.feed_forward, model.dropout) == (256, 4, 4, 1024, 0.1)
    assert (model.disentangle, model.mask, loss.protocl, loss.icl) == (True, "sigmoid", True, True)
    assert (loss.proto_weight, loss.icl_weight, loss.negatives, loss.tau, loss.icl_scale) == (1.0, 1.0, 7, 1.0, "none")
    assert (loss.proto_similarity, loss.icl_similarity, loss.learn_tau) == ("dot", "cosine", False)
    assert (params.query_sets.pathologies, params.query_sets.anatomies) == (75, 50)
    assert (params.labels.unmentioned, params.text_encoder.pooling) == ("negative", "cls")
    assert (train.optimizer, train.lr, train.min_lr, train.warmup_epochs) == ("adamw", 1e-4, 1e-5, 5)
    assert (train.epochs, train.batch, train.weight_decay, train.restarts) == (100, 64, 0.02, 0)
    assert (augment.flip, augment.crop, augment.interpolation) == ("plain", (0.2, 1.0), "bicubic")
    assert (augment.operations, augment.magnitude) == (2, 7.0)


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


def test_temperatures_end_where_the_networks_cut_them():
    assert methods.MAX_SCALE == medslip.MAX_SCALE == medfilip.MAX_SCALE
    parse_params(compose(ROOT / "conf", ["loss.tau=0.01"])[1])
    for overrides, message in (
        (["loss.tau=0.009"], "loss.tau = 0.009"),
        (["loss.tau=0.01", "loss.learn_tau=true"], "tau 0.01 must be above 0.01 to be learned"),
        (["method=medfilip", "model.scale=101"], "model.scale = 101"),
    ):
        with pytest.raises(ParamsError, match=message):
            parse_params(compose(ROOT / "conf", overrides)[1])


def test_a_crop_shows_something():
    with pytest.raises(ParamsError, match=r"augment.crop"):
        parse_params(compose(ROOT / "conf", ["augment.crop=[0,0.5]"])[1])


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
