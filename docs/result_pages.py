"""The pages of the published results, as Markdown made from docs/results."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from repro.core.kinds import KINDS
from repro.core.toml import load_figure
from repro.core.words import typeset
from repro.paper import others
from repro.paper.claims import Other
from repro.paper.series import figure_label

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- claims: written by docs/publish.py -->", "<!-- end of claims -->"
HEAD = "# Results with `"
PAGE_HEAD = """\
<!-- Written by docs/publish.py from claims.json of each folder and from remarks.md: edit those. -->

# What we found"""
NOTE = """\
CIFAR-10 was read from JPEG copies here, so its pixels differ by a few levels from the original
ones. The `--set` arguments of a command made networks or data smaller, to fit the time at hand. The
file claims.json holds data, sizes and rules.

Before commit c8c8fe940 (2026-11-27) the engine ran several graphs at a time. On some processors a
loss was then wrong now and then in first evaluations, by up to 0.15 %; no count was seen to be
wrong. What was computed before (Figs. 1a, 2a, 5a and the regularizer) was not computed anew.

Every folder has a picture, numbers and an archive. [The record](../record.md) tells how to read it.
"""

Record = dict[str, Any]


def claims(folder: Path) -> list[Record]:
    """The verdicts published in a folder; [] if there are none."""
    file = folder / "claims.json"
    return json.loads(file.read_text()) if file.exists() else []


def choices(folder: Path) -> list[Other]:
    """The claims under other choices published in a folder; [] if there are none."""
    file = folder / "choices.json"
    return others.read(json.loads(file.read_text())) if file.exists() else []


def overview(out: Path) -> str:
    """How each figure of a folder was made, as a page."""
    rows = [("figure", "networks", "seeds", "images", "device", "date", "commit", "command")]
    for file in sorted(out.glob("*/summary.json")):
        ((name, figure),) = json.loads(file.read_text()).items()
        networks = figure["networks"]
        made = [network.get("circumstances", {}) for network in networks]

        def known(key: str, made: Sequence[Record] = made) -> str:
            return several(one[key] for one in made if key in one)

        rows.append(
            (
                f"[{name}]({name})",
                str(len(networks)),
                several(network["seed"] for network in networks),
                f"{figure['data']}; {several(n['n_train'] for n in networks)} to train on",
                ", ".join(filter(None, (known("device"), known("processor")))),
                known("date"),
                several(one["git_commit"][:9] for one in made if "git_commit" in one),
                f"`{figure['command']}`",
            )
        )
    return f"{HEAD}{out.name}` settings\n\n{NOTE}\n{markdown(rows)}"


class Remarks(NamedTuple):
    """What a person wrote about the results.

    preface: stands above all claims.
    titles: short titles of claims, by the claim's name; bodies: what is said of them.
    rest: Markdown that belongs to no claim, with its headings.
    """

    preface: str
    titles: dict[str, str]
    bodies: dict[str, str]
    rest: str


def remarks(text: str) -> Remarks:
    """Reads remarks.md: a title, a preface, then sections under `## C1: short title` or others.

    >>> remarks("# Remarks\\nSmall.\\n## C1: Short\\nYes.\\n## More\\nAlso.\\n")
    Remarks(preface='Small.', titles={'C1': 'Short'}, bodies={'C1': 'Yes.'}, rest='## More\\nAlso.')
    """
    first, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    titles, bodies, rest = {}, {}, []
    for section in sections:
        heading, _, body = section.partition("\n")
        if of_claim := re.fullmatch(r"(C\d+): (.+)", heading):
            titles[of_claim[1]], bodies[of_claim[1]] = of_claim[2], body.strip()
        else:
            rest.append(f"## {section.strip()}")
    preface = re.sub(r"^# .*\n", "", first).strip()
    return Remarks(preface, titles, bodies, "\n\n".join(rest))


def found(folders: Iterable[Path]) -> dict[str, list[tuple[Path, Record]]]:
    """The published verdicts by claim, in the order of the claims' numbers."""
    records = [(folder, one) for folder in folders for one in claims(folder)]
    names = sorted({one["claim"] for _, one in records}, key=lambda name: int(name[1:]))
    return {name: [pair for pair in records if pair[1]["claim"] == name] for name in names}


def counts(verdicts: Mapping[str, Sequence[tuple[Path, Record]]]) -> str:
    """How often each verdict was given, as a sentence."""
    given = [one["verdict"] for pairs in verdicts.values() for _, one in pairs]
    kinds = ("supported", "not supported", "inconclusive", "not run")
    words = [f"{given.count(kind)} {kind}" for kind in kinds if kind in given]
    return f"{len(given)} tests of {len(verdicts)} claims: {', '.join(words)}."


def table(folders: Iterable[Path], said: Remarks) -> str:
    """The README's table: a line for each claim, what the paper says and what was found."""
    verdicts = found(folders)
    rows = [("", "the paper says", "we find")]
    for name, pairs in verdicts.items():
        first = pairs[0][1]
        title = said.titles.get(name, first["statement"].rstrip("."))
        number = rho(first["paper"])
        entries = [
            {
                "data": data_name(one["data"]),
                "link": f"docs/results/{folder.name}/{one['figure']}",
                "verdict": one["verdict"],
                "number": rho(one["ours"]) if number else "",
            }
            for folder, one in pairs
        ]
        ours = rendered("entries.md.jinja", entries=entries)
        rows.append((f"[{name}](docs/results/README.md#{name.lower()})", title + number, ours))
    return f"{counts(verdicts)}\n\n{markdown(rows)}"


def page(folders: Sequence[Path], said: Remarks) -> str:
    """docs/results/README.md: every claim with its numbers, rule and remarks, and the commands."""
    verdicts = found(folders)
    told = []
    commands = [("figure", "what was cut", "command")]
    for name, pairs in verdicts.items():
        statements = []
        for statement, paper in dict.fromkeys((one["statement"], one["paper"]) for _, one in pairs):
            these = [(folder, one) for folder, one in pairs if one["statement"] == statement]
            rows = [("figure", "we find", "measured on", "cut", "verdict")]
            rows += [_row(folder, one) for folder, one in these if one["paper"] == paper]
            every = {one["rule"] for _, one in these}
            # A rule that was only added to since is told once.
            rules = [rule for rule in every if not any(_longer(one, rule) for one in every)]
            statements.append(
                {
                    "statement": statement.rstrip("."),
                    "number": typeset(re.sub("^no number[,;]? ?", "", paper)),
                    "rows": rows,
                    "rules": sorted(map(typeset, rules)),
                }
            )
        told.append(
            {
                "name": name,
                "title": said.titles.get(name, ""),
                "told": statements,
                "remark": said.bodies.get(name, ""),
            }
        )
        commands += [
            (
                _figure(folder, one),
                cut(one["command"], one["figure"]) or "nothing",
                f"`{one['command']}`",
            )
            for folder, one in pairs
        ]
    return rendered(
        "results.md.jinja",
        head=PAGE_HEAD,
        said=said,
        counts=counts(verdicts),
        claims=told,
        folders=[folder.name for folder in folders],
        others=[
            {"folder": folder.name, "words": others.words(made)}
            for folder in folders
            if (made := choices(folder))
        ],
        commands=list(dict.fromkeys(commands)),
    )


def rendered(template: str, **values: Any) -> str:
    """A piece of Markdown from a template of docs/templates. Nothing is escaped in it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "docs/templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    return environment.get_template(template).render(values)


def _longer(one: str, rule: str) -> bool:
    return one != rule and one.startswith(rule)


def _row(folder: Path, one: Record) -> tuple[str, ...]:
    note = f". {one['note']}" if one["note"] else ""
    return (
        _figure(folder, one),
        typeset(one["ours"] + note),
        f"{one['n']}; {one['data']}",
        cut(one["command"], one["figure"]) or "nothing",
        f"**{one['verdict']}**",
    )


def _figure(folder: Path, one: Record) -> str:
    return f"[{figure_label(one['figure'])}]({folder.name}/{one['figure']})"


def rho(words: str) -> str:
    """A rank correlation that begins a sentence, in brackets; "" if there is none.

    >>> rho("rho = -0.728"), rho("22.9 % top 1"), rho("rho = 0.88 [0.75, 0.94]")
    (' (ρ = −0.728)', '', ' (ρ = 0.88)')
    """
    number = re.match(r"rho = (-?[0-9.]+)", words)
    return f" (ρ = {number[1].replace('-', '−')})" if number else ""


def data_name(data: str) -> str:
    """
    >>> data_name("cifar10, prepared TFDS data set"), data_name("fashion_mnist")
    ('CIFAR-10', 'fashion_mnist')
    """
    name = data.split(",")[0]
    return {"mnist": "MNIST", "cifar10": "CIFAR-10", "imagenet2012": "ImageNet"}.get(name, name)


def cut(command: str, figure: str = "") -> str:
    """What a command's --set arguments replace, in words; those for lesions that the figure does
    not make are left out, as the run leaves them alone.

    >>> cut("./run_all.sh --only=fig1a --set=train.epochs=320")
    '320 epochs'
    >>> cut("--set=train.width=0.125 --set=train.n_train=20000 --set=grid.seed=[0,1]")
    '1/8 of the maps, 20,000 images, 2 seeds'
    """
    made = ("train", "grid", *_kinds(command, figure))
    words = []
    for word in shlex.split(command):
        if word.startswith("--set="):
            name, _, text = word.removeprefix("--set=").partition("=")
            section, _, key = name.partition(".")
            if section in made:
                words.append(_cut_words(section, key, _value(text)))
    return ", ".join(words)


def _kinds(command: str, figure: str) -> Sequence[str]:
    """The kinds of lesions that a figure makes; all that there are, of an unknown figure."""
    files = list((ROOT / "configs").glob(f"{figure}_*.toml"))
    profile = re.search(r"--profile=(\w+)", command)
    if not figure or not files:
        return tuple(KINDS)
    sweeps = load_figure(files[0], profile[1] if profile else "quick").sweeps
    made = {sweep.kind for _, sweep in sweeps}
    return [kind for kind in KINDS if kind in made]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'\"")


# Lesions whose images were cut, in words.
_READ_ON = {
    "cumulative": "curves",
    "noise": "noise",
    "single_unit": "single units",
    "intact": "the intact network",
    "portraits": "portraits",
    "fragility": "single images",
}


def _cut_words(section: str, key: str, value: Any) -> str:
    """One replaced setting in words.

    >>> _cut_words("noise", "n_images", 1000), _cut_words("train", "hidden_units", [1024, 1024])
    ('noise on 1,000 images', '2 × 1,024 units')
    >>> _cut_words("grid", "batch_size", [32, 128]), _cut_words("train", "optimizer", "adam")
    ('2 batch sizes', 'optimizer adam')
    """
    name = key.replace("_", " ")
    if isinstance(value, list):
        if key == "hidden_units":
            alike = len(set(value)) == 1
            sizes = [f"{value[0]:,}"] if alike else [f"{size:,}" for size in value]
            return f"{len(value)} × " * alike + " + ".join(sizes) + " units"
        plural = name if name.endswith("s") else f"{name}s"
        return f"{len(value)} {plural if len(value) > 1 else plural[:-1]}"
    if key == "width":
        return f"{Fraction(value).limit_denominator(64)} of the maps"
    if key == "n_images":
        return f"{_READ_ON.get(section, section)} on {value:,} images"
    if key == "n_train":
        return f"{value:,} images"
    if key == "epochs":
        return f"{value:,} epochs"
    return f"{name} {value}"


def with_table(readme: str, text: str) -> str:
    """The README with this table between its marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f"the README lacks the marks {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{text}{END}", readme)


def several(values: Iterable[Any]) -> str:
    """Different values in their order.

    >>> several([0, 1, 0])
    '0, 1'
    """
    return ", ".join(dict.fromkeys(map(str, values)))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first is the head.

    >>> print(markdown([("a", "b"), ("1", "|x|")]), end="")
    | a | b |
    |---|---|
    | 1 | \\|x\\| |
    """
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines.insert(1, "---|" * (len(rows[0]) - 1) + "---")
    return "".join(
        f"|{line}|\n" if number == 1 else f"| {line} |\n" for number, line in enumerate(lines)
    )
