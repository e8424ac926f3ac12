"""Which benchmarks can serve which task, where a task needs what only some datasets have."""

from collections.abc import Collection, Mapping

# The list that names benchmarks for a task -> what the others are told, and those that can serve.
TASKS = {
    "grounding": ("has no boxes", ("cxr14", "rsna", "vinbigdata")),
    "finding_maps": (
        "labels healthy images as a finding",
        ("cxr14", "rsna", "siim", "covidx", "vinbigdata", "rahman"),
    ),
    "unseen": ("shows no disease that is unseen in pre-training", ("covidx", "rahman")),
    "finetune.benchmarks": ("has no training images", ("cxr14", "rsna", "siim", "covidx", "vinbigdata", "rahman")),
    "finetune.segmentation": ("has no masks", ("siim",)),
}


def check_tasks(lists: Mapping[str, Collection[str]], benchmarks: Collection[str]) -> None:
    """Every benchmark that is named for a task is configured and can serve it.

    Args:
        lists: names of benchmarks by the keys of `TASKS`.
        benchmarks: the configured ones.

    Raises:
        ValueError: some are not or cannot; says which, and the overrides that leave them out of all lists.
    """
    wrong: dict[str, list[str]] = {}  # a benchmark's name, then why it cannot serve -> the lists
    overrides = []
    for task, names in lists.items():
        lack, able = TASKS[task]
        reasons = {name: lack for name in names if name not in able}
        reasons |= {name: "is not among the benchmarks" for name in names if name not in benchmarks}
        for name, reason in reasons.items():
            wrong.setdefault(f"{name} {reason}", []).append(task)
        if reasons:
            overrides.append(f"-S '{task}=[{','.join(name for name in names if name not in reasons)}]'")
    if wrong:
        problems = "; ".join(f"{problem}, yet is named in {' and '.join(tasks)}" for problem, tasks in wrong.items())
        raise ValueError(f"{problems}: leave it out with {' '.join(overrides)}")
