"""Nothing of a picture is cut off at its edges, and no two labels of an axis collide."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from repro.core.kinds import UnitTable
from repro.core.results import FigureResult
from repro.core.toml import load_figure
from repro.core.words import typeset
from repro.display.plots import styled
from repro.paper import figures
from repro.paper.figure_report import alone
from repro.paper.series import panels
from tests.helpers import synthetic

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))
SLACK = 1.5  # pixels that a letter may stand over


def figure_of(path: Path) -> FigureResult:
    return synthetic.figure_result(load_figure(path, "quick"))


def drawn(figure: FigureResult, *, standalone: bool) -> Figure:
    """The picture once its layout is done."""
    with styled(False):
        picture = figures.compose(figure, standalone=standalone)
        picture.canvas.draw()
    return picture


def texts(picture: Figure) -> Iterator[tuple[str, Bbox]]:
    canvas = picture.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    for text in picture.findobj(Text):
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip():
            yield text.get_text(), text.get_window_extent(canvas.get_renderer())


def cut_off(picture: Figure) -> list[str]:
    """The texts that stand over an edge of the picture."""
    edges = Bbox([[0, 0], picture.canvas.get_width_height()])
    # Ticks out of an axis' range have their text far away; they are not drawn.
    unseen = {
        label.get_text()
        for axes in picture.findobj(lambda one: hasattr(one, "xaxis"))
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not _within(axis, tick)
    }
    return [
        words
        for words, box in texts(picture)
        if words not in unseen
        and (
            box.x0 < edges.x0 - SLACK
            or box.x1 > edges.x1 + SLACK
            or box.y0 < edges.y0 - SLACK
            or box.y1 > edges.y1 + SLACK
        )
    ]


def _within(axis: object, tick: object) -> bool:
    low, high = sorted(axis.get_view_interval())
    return low <= tick.get_loc() <= high


def collisions(picture: Figure) -> list[tuple[str, str]]:
    """Neighbours on an axis whose labels overlap."""
    canvas = picture.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    found = []
    for axes in picture.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = [
                tick.label1
                for tick in axis.get_major_ticks()
                if _within(axis, tick) and tick.label1.get_visible() and tick.label1.get_text()
            ]
            if any(label.get_rotation() for label in shown):
                continue  # turned labels pass each other
            boxes = [label.get_window_extent(canvas.get_renderer()) for label in shown]
            for a in range(len(shown)):
                for b in range(a + 1, len(shown)):
                    if boxes[a].overlaps(boxes[b]):
                        found.append((shown[a].get_text(), shown[b].get_text()))
    return found


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem.split("_")[0])
def test_no_figure_is_cut_off(path: Path) -> None:
    figure = figure_of(path)
    assert cut_off(drawn(figure, standalone=True)) == []
    for panel in panels(figure.config):
        picture = drawn(alone(figure, panel), standalone=False)
        assert cut_off(picture) == [] and collisions(picture) == []


def long_names(table: UnitTable, name: str) -> UnitTable:
    """The table with layers of long names, all alike at their beginning."""
    layers = tuple((f"{name}_{old}", size) for old, size in table.layers)
    return dataclasses.replace(table, layers=layers)


@pytest.mark.parametrize("n_layers", [2, 5, 6, 11, 30])
@pytest.mark.parametrize("name", ["c", "model/backbone_stage_of_a_long_name_block"])
def test_many_layers_and_long_names_stay_in_the_legend(n_layers: int, name: str) -> None:
    table = synthetic.convnet_table(slopes=(-0.5,) * n_layers, units=12)
    figure = synthetic.units_figure(long_names(table, name))
    for standalone in (False, True):
        assert cut_off(drawn(figure, standalone=standalone)) == []


def test_the_probe_finds_a_text_that_is_cut_off() -> None:
    figure = synthetic.units_figure(synthetic.unit_table(n_units=30))
    titled = dataclasses.replace(panels(figure.config)[0], title="much too long " * 12)
    assert cut_off(drawn(alone(figure, titled), standalone=False)) == [titled.title]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem.split("_")[0])
def test_what_is_written_in_a_picture_has_a_true_minus(path: Path) -> None:
    figure = figure_of(path)
    svg = figures.draw(figure, kinds=["svg"])["svg"].decode()
    # Letters are paths; each text stands before its paths as a comment.
    words = [line.strip() for line in svg.splitlines() if line.strip().startswith("<!--")]
    assert words and [one for one in words if typeset(one) != one] == []
