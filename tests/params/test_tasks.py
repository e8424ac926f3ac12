import re
import shlex
from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.params import BENCHMARKS, compose, parse_params
from pipeline.params.tasks import TASKS, check_tasks

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["~benchmarks.rsna"], "rsna is not among the benchmarks, yet is named in grounding and finetune.benchmarks"),
        (["grounding=[rsna,siim]"], "siim has no boxes, yet is named in grounding"),
        (["finetune.segmentation=[siim,cxr14]"], "cxr14 has no masks, yet is named in finetune.segmentation"),
        (["unseen=[rsna]"], "rsna shows no disease that is unseen in pre-training, yet is named in unseen"),
        (
            ["+benchmark=covid_chestxray", "finding_maps=[covid_chestxray]"],
            "covid_chestxray labels healthy images as a finding, yet is named in finding_maps",
        ),
        (
            ["~benchmarks.siim"],
            "siim is not among the benchmarks, yet is named in finetune.benchmarks and finetune.segmentation",
        ),
        (
            ["~benchmarks.covidx", "~benchmarks.cxr14", "grounding=[covidx]"],
            "covidx is not among the benchmarks, yet is named in grounding and unseen and finetune.benchmarks; "
            "cxr14 is not among the benchmarks, yet is named in finding_maps and finetune.benchmarks",
        ),
    ],
)
def test_all_that_cannot_serve_is_told_at_once_with_the_overrides_that_mend_it(overrides, problem):
    with pytest.raises(ParamsError) as raised:
        parse_params(compose(CONF, overrides)[1])
    message = str(raised.value)
    assert message.startswith(f"params.yaml: {problem}: leave it out with -S ")
    told = re.search(r"leave it out with (.*)\. Mend", message)[1]
    mended = [word for word in shlex.split(told) if word != "-S"]
    parse_params(compose(CONF, [*overrides, *mended])[1])


def test_what_can_serve_is_kept_in_its_order():
    with pytest.raises(ValueError, match=r"-S 'grounding=\[rsna,cxr14\]'$"):
        check_tasks({"grounding": ("rsna", "covidx", "cxr14")}, ("cxr14", "rsna", "covidx"))


def test_who_can_serve_is_a_benchmark():
    assert {name for _, able in TASKS.values() for name in able} <= set(BENCHMARKS)
