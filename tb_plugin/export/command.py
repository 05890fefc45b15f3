"""The command: what is asked, what is refused, and what is told in the end."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tb_plugin.export import bundle, folder, pages
from tb_plugin.export.making import ALL_UNITS, ExportError, Options, export
from tb_plugin.reading.provider import ProviderError

DESCRIPTION = """\
Makes a static copy of the tab "Single Directions" for a log directory: curves, units, distributions
and training. The copy needs no server and no Python. Open index.html from a disk, with the network
switched off, or put the folder on any web host.

Each chart and each unit has a page and its numbers as JSON; pages.html lists them. With "?embed" at
the end of its address a page shows its chart alone, to be put into another page's <iframe>;
"?embed=NAME" chooses one of several charts, and "theme=dark" or "theme=light" the colours."""

EXAMPLE = """\
example:
  python -m tb_plugin.demo /tmp/demo
  python -m tb_plugin.export --logdir /tmp/demo --out /tmp/site"""


MOST_NAMED = 3  # networks that are not in the lab for one reason


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the status to exit with."""
    asked = _parser().parse_args(arguments)
    try:
        options = Options(asked.title, asked.view, asked.unit_pages, asked.models, asked.one_file)
        written = export(asked.logdir, asked.out, options)
    except (ExportError, ProviderError, folder.FolderError, bundle.BundleError) as error:
        print(error, file=sys.stderr)
        return 1
    for reason in dict.fromkeys(written.not_in_lab.values()):
        names = [name for name, why in written.not_in_lab.items() if why == reason]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        print(f"Not in the lab: {', '.join(names[:MOST_NAMED])}{more}, because {reason}.")
    listed = "" if asked.one_file else f", or see all pages in {asked.out / 'pages.html'}"
    print(
        f"Written: {written.n_files:,} files, {_size(written.n_bytes)}. "
        f"Open {asked.out / 'index.html'}{listed}."
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tb_plugin.export",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--logdir", type=Path, required=True, help="the log directory, as TensorBoard is given it"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a new folder for the copy, or that of an earlier copy, which is replaced",
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder of .keras models for the lesion lab; the browser runs those that are chains "
        "of dense layers with masks, on the images beside them",
    )
    parser.add_argument("--title", default="Single Directions", help="of the pages")
    parser.add_argument(
        "--view", default="", choices=sorted(pages.VIEWS), help="with which the copy opens"
    )
    parser.add_argument(
        "--one-file",
        action="store_true",
        help="put everything into index.html, which can be sent by mail; no other pages, no JSON",
    )
    parser.add_argument(
        "--unit-pages",
        type=int,
        default=ALL_UNITS,
        metavar="N",
        help="give units a page and JSON of their own in tables of at most N units; the Unit "
        "inspector shows every unit anyway (default: in all tables)",
    )
    return parser


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:,.1f} kB"
