import numpy as np
from matplotlib.axes import Axes

from pipeline.reporting import bars
from pipeline.reporting.drawing import errors


def test_distances_to_interval_ends_and_none_where_there_is_no_interval() -> None:
    low, high = errors(np.array([0.5, 0.7]), [(0.4, 0.8), None])
    np.testing.assert_allclose(low, [0.1, np.nan])
    np.testing.assert_allclose(high, [0.3, np.nan])
    assert errors(np.array([]), []).shape == (2, 0)


def test_every_bar_lies_in_its_group(monkeypatch) -> None:
    drawn, original = [], Axes.barh

    def barh(axes, *args, **options):
        drawn.append((options["label"], args[:2]))
        return original(axes, *args, **options)

    monkeypatch.setattr(Axes, "barh", barh)
    groups = {"A": {"this run": (0.5, (0.4, 0.6)), bars.CHANCE: (0.1, None)}, "B": {"this run": (0.7, None)}}
    image = bars.grouped_bars(groups, "title", "share")
    assert image.kind == "svg"
    (first, (where, values)), (second, (chance, level)) = drawn
    assert (first, second) == ("this run", bars.CHANCE)
    assert [round(float(place)) for place in where] == [1, 0]  # A above B
    assert values.tolist() == [0.5, 0.7]
    assert round(float(chance[0])) == 1
    assert level.tolist() == [0.1]


def test_the_same_results_give_the_same_bars() -> None:
    groups = {"A": {"x": (0.5, (0.4, 0.6)), "y": (0.1, None)}}
    assert bars.grouped_bars(groups, "t", "x") == bars.grouped_bars(groups, "t", "x")


def test_a_dashed_line_is_drawn_where_it_is_asked_for(monkeypatch) -> None:
    lines = []
    monkeypatch.setattr(Axes, "axvline", lambda axes, x, **options: lines.append((x, options["label"])))
    groups = {"A": {"x": (0.5, None)}}
    bars.grouped_bars(groups, "t", "x")
    bars.grouped_bars(groups, "t", "x", ("no mask at all", 0.66))
    assert lines == [(0.66, "no mask at all")]
