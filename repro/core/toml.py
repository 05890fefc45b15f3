"""Reads the settings of a figure from its TOML file.

One file in configs/ describes one figure. The `[common]` table applies to every profile; `[quick]`,
`[desk]` and `[paper]` hold the differences. Inside each:

    [quick.train]       one network's training (TrainConfig)
    [quick.grid]        settings of train that take several values: one network for each
    [quick.variants]    settings of train that are tried one at a time: each line is a named variant
                        of the base, and both are crossed with the grid
    [quick.cumulative]  (or another of `repro.core.kinds`) the lesions and the images they are read
                        on; several of a kind are named: [quick.cumulative.zero], ...

Beside the profiles there are `[[panel]]` tables, one for each picture of the figure (PanelConfig).
`like = "fig5b"` takes over that figure's [common.train], so that the file says only what differs.
`[own]` holds settings for a figure of the user's own trained network
(`repro.experiments.own`).
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.core.checked import build, check_keys, checked_value, nearest
from repro.core.datasets import named_sets
from repro.core.kinds import KINDS, panels
from repro.core.settings import (
    BASE,
    OWN,
    PROFILES,
    ConfigError,
    FigureConfig,
    PanelConfig,
    SweepConfig,
    TrainConfig,
)


def load_figure(path: Path, profile: str, overrides: Sequence[str] = ()) -> FigureConfig:
    """Reads one figure's TOML file.

    Args:
        path: the file; its stem up to the first "_" is the figure's name.
        profile: "quick", "desk" or "paper"; or "own" for a network of the user's that is set later.
        overrides: "section.key=value" strings that replace settings, values in TOML's notation;
            a section that the figure does not have is left alone, so one override can serve
            several figures.

    Raises:
        ConfigError: anything in the file or the overrides that cannot be used.
    """
    if profile not in (*PROFILES, OWN):
        raise ConfigError(f"unknown profile {profile!r}; expected one of {', '.join(PROFILES)}")
    document = _read(path)
    check_keys(path, "", document, ("title", "like", "panel", "common", *PROFILES, OWN))
    if profile not in document:
        raise ConfigError(f"{path}: has no [{profile}] table")
    title = str(document.get("title", path.stem))
    sections: dict[str, dict[str, Any]] = {}
    if "like" in document:
        sections["train"] = _trained_like(path, document["like"])
    stand_in = ""
    for table in ("common", profile):
        content = _table(path, table, document.get(table, {}))
        words = ("title",) if table == OWN else ("train", "grid", "variants", "stand_in")
        check_keys(path, table, content, (*words, *KINDS))
        stand_in, title = content.get("stand_in", stand_in), content.get("title", title)
        for name, values in content.items():
            if name not in ("stand_in", "title"):
                _merge(sections.setdefault(name, {}), _table(path, f"{table}.{name}", values))
    if profile == OWN:
        sections |= {"train": {"dataset": OWN, "network": OWN}, "grid": {}, "variants": {}}
    _override(sections, overrides)
    if stand_in not in ("", *named_sets()):
        raise ConfigError(
            f"{path}: stand_in: expected one of {', '.join(named_sets())}. Received: {stand_in!r}"
        )
    sweeps = _sweeps(path, profile, sections)
    grid = _grid(path, f"{profile}.grid", sections.get("grid", {}))
    train = dict(sections.get("train", {}))
    # A grid key stands in for the single value, so that required keys may live in the grid.
    train |= {key: values[0] for key, values in grid if key not in train}
    base = build(path, f"{profile}.train", TrainConfig, train)
    variants = _variants(path, f"{profile}.variants", sections.get("variants", {}), base, grid)
    figure = FigureConfig(
        name=path.stem.split("_")[0],
        title=title,
        profile=profile,
        train=base,
        grid=grid,
        sweeps=sweeps,
        path=path.name,
        panels=_panels(path, document.get("panel", []), sweeps, bool(variants)),
        variants=variants,
        stand_in=stand_in,
    )
    try:
        if figure.train.architecture.given != (profile == OWN):
            raise ConfigError("a trained network of your own is given with --model and --data")
        figure.networks()
    except ConfigError as error:
        raise ConfigError(f"{path}: [{profile}.grid] {error}") from error
    _check_enough_images(path, figure)
    return figure


def _trained_like(path: Path, figure: Any) -> dict[str, Any]:
    """The [common.train] of another figure of the same folder, which may be like a third one.

    Raises:
        ConfigError: no such figure, or figures that are like each other in a circle.
    """
    seen, found = [path], []
    while figure is not None:
        others = sorted(path.parent.glob("*.toml"))
        names = [other.stem.split("_")[0] for other in others]
        if figure not in names:
            raise ConfigError(
                f"{seen[-1]}: like: no figure {figure!r}{nearest(str(figure), names)}"
            )
        other = others[names.index(figure)]
        if other in seen:
            raise ConfigError(f"{path}: like: {figure} is like this one; say what one of them is")
        seen.append(other)
        document = _read(other)
        found.append(_table(other, "common", document.get("common", {})).get("train", {}))
        figure = document.get("like")
    train: dict[str, Any] = {}
    for values in reversed(found):
        train |= values
    return train


def _check_enough_images(path: Path, figure: FigureConfig) -> None:
    """Refuses, before hours of training, a sweep that needs more training images than there are."""
    fewest = min((network.n_train for network in figure.networks() if network.n_train), default=0)
    for name, sweep in figure.sweeps:
        if fewest and sweep.images == "train" and sweep.n_images > fewest:
            where = sweep.kind if name == sweep.kind else f"{sweep.kind}.{name}"
            raise ConfigError(
                f"{path}: {where}.n_images = {sweep.n_images:,} but train.n_train = {fewest:,}; "
                f"--set={sweep.kind}.n_images=0 reads them all"
            )


def find_figures(directory: Path, only: Sequence[str] = ()) -> list[Path]:
    """The config files of a directory, sorted; `only` keeps figures whose name starts so.

    Raises:
        ConfigError: no such directory, no config in it, or a name in `only` that fits none.
    """
    if not directory.is_dir():
        raise ConfigError(f"no folder of configs at {directory}")
    paths = sorted(directory.glob("*.toml"))
    if not paths:
        raise ConfigError(f"no .toml file in {directory}")
    names = [path.stem.split("_")[0] for path in paths]
    for wanted in only:
        if not any(name.startswith(wanted) for name in names):
            raise ConfigError(f"no figure {wanted!r}{nearest(wanted, names)}")
    return [
        path
        for path, name in zip(paths, names, strict=True)
        if not only or any(name.startswith(wanted) for wanted in only)
    ]


def takes_own_network(path: Path) -> bool:
    """Whether the figure of a config can be made from the user's own trained network."""
    return OWN in _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _table(path: Path, where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {where} must be a table, got {value!r}")
    return value


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Adds values to a table; tables inside the table are merged, not replaced."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value


def _sweeps(
    path: Path, profile: str, sections: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[str, SweepConfig], ...]:
    """The sweeps by name. [quick.cumulative] makes one sweep, called "cumulative". With tables such
    as [quick.cumulative.mean] inside, each makes a sweep, and settings outside of them apply to
    all."""
    found: dict[str, SweepConfig] = {}
    for kind in (kind for kind in KINDS if kind in sections):
        shared = {k: v for k, v in sections[kind].items() if not isinstance(v, dict)}
        named = {k: v for k, v in sections[kind].items() if isinstance(v, dict)}
        for name, values in named.items() or [(kind, {})]:
            if name in found:
                raise ConfigError(f"{path}: [{profile}] has two sweeps called {name!r}")
            where = f"{profile}.{kind}" + (f".{name}" if named else "")
            found[name] = build(path, where, KINDS[kind].settings, {**shared, **values})
    if not found:
        raise ConfigError(f"{path}: [{profile}] needs at least one of {', '.join(KINDS)}")
    return tuple(found.items())


def _panels(
    path: Path, tables: Any, sweeps: Sequence[tuple[str, SweepConfig]], varied: bool
) -> tuple[PanelConfig, ...]:
    """The [[panel]] tables, with names of sweeps and settings checked.

    Args:
        varied: whether the figure has variants.
    """
    if not isinstance(tables, list):
        raise ConfigError(f"{path}: panels are written [[panel]], one table each")
    found = tuple(
        build(path, "panel", PanelConfig, _table(path, "panel", table)) for table in tables
    )
    settings = [field.name for field in dataclasses.fields(TrainConfig)]
    for panel in found:
        checks = (
            ("kind", (panel.kind,), panels()),
            ("sweep", (panel.sweep,), ("", "all", *(name for name, _ in sweeps))),
            ("sweeps", panel.sweeps, tuple(name for name, _ in sweeps)),
            ("series", panel.series, ("layer", "sweep", *(["variant"] * varied), *settings)),
            ("mark", (panel.mark,), ("", *settings)),
        )
        for key, values, valid in checks:
            for value in values:
                if value not in valid:
                    raise ConfigError(
                        f"{path}: [[panel]] {key}: no {value!r}{nearest(value, valid)}. "
                        f"Expected: {', '.join(filter(None, valid))}"
                    )
    return found


def _override(sections: dict[str, dict[str, Any]], overrides: Sequence[str]) -> None:
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key):
            raise ConfigError(
                f"--set={text}: expected section.key=value, for example train.epochs=100"
            )
        valid = ("train", "grid", "variants", *KINDS)
        if section not in valid:
            raise ConfigError(
                f"--set={text}: no section {section!r}{nearest(section, valid)}. "
                f"Expected: {', '.join(valid)}"
            )
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()
        if section in sections or section == "grid":
            for part in reversed(key.split(".")):
                parsed = {part: parsed}
            _merge(sections.setdefault(section, {}), parsed)


def _grid(
    path: Path, where: str, table: Mapping[str, Any]
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    check_keys(path, where, table, tuple(fields))
    grid = []
    for key, values in table.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}: [{where}] {key} must be a list of values, got {values!r}")
        checked = tuple(checked_value(path, where, fields[key], value) for value in values)
        if len(set(checked)) < len(checked):
            raise ConfigError(f"{path}: [{where}] {key} names a value twice: {values!r}")
        grid.append((key, checked))
    return tuple(grid)


_NAME = re.compile(r"[\w-]+", re.ASCII)
_OF_THE_FIGURE = ("dataset", "origin")  # settings in which variants cannot differ


def _variants(
    path: Path,
    where: str,
    table: Mapping[str, Any],
    base: TrainConfig,
    grid: Sequence[tuple[str, tuple[Any, ...]]],
) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
    """The variants, with every setting checked. One that is `false` is left out, as a profile or an
    override may say.

    Raises:
        ConfigError: a setting that is unknown, varied by the grid or common to the figure; a
            variant called "base", equal to the base or to another variant, or impossible.
    """
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    open_to = tuple(name for name in fields if name not in _OF_THE_FIGURE)
    of_grid = [key for key, _ in grid]
    found: dict[str, TrainConfig] = {BASE: base}
    variants = []
    for name, values in table.items():
        if values is False:
            continue
        one = f"{where}.{name}"
        if name == BASE:
            raise ConfigError(
                f"{path}: [{where}] {BASE} is the name of what the variants differ from, the "
                "settings of [train]; give the variant another name"
            )
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: [{where}] {name!r} is no name for a variant, since folders are called by "
                "it; use letters, digits, - and _"
            )
        if not isinstance(values, dict) or not values:
            raise ConfigError(
                f"{path}: [{where}] {name}: expected settings such as {{ momentum = 0.0 }}, or "
                f"false to leave the variant out. Received: {values!r}"
            )
        check_keys(path, one, values, open_to)
        for key in values:
            if key in of_grid:
                raise ConfigError(
                    f"{path}: [{one}] {key} is varied by the grid; a setting stands in the grid or "
                    "in variants, not in both"
                )
        changes = {key: checked_value(path, one, fields[key], v) for key, v in values.items()}
        try:
            changed = dataclasses.replace(base, **changes)
        except ConfigError as error:
            raise ConfigError(f"{path}: [{one}] {error}") from error
        for other, settings in found.items():
            if changed == settings:
                what = "the base" if other == BASE else f"{other!r}"
                raise ConfigError(
                    f"{path}: [{one}] has the settings of {what}: change it, or leave it out with "
                    f"--set=variants.{name}=false"
                )
        found[name] = changed
        variants.append((name, tuple(changes.items())))
    return tuple(variants)
