"""A study of anybody's network: `repro.lesion` and `python -m repro lesion`.

`settings` is what a study is made with, whoever asks; `measured` holds what lesions of one network
tell, `table` its units, and `study` makes and shows it. `sentences`, `tables` and `figures` say
what was found; `page`, `files` and `show` put it before the reader. `sample` and `standing` are
what its sample allows it to say, `budget` how much fits into a time. `request` is what the command
`lesion` is asked, `command` obeys, and `terminal` shows it. Begin with `study`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.study.study import Study, lesion

__all__ = ["Study", "lesion"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'repro.study' has no attribute {name!r}")
    from repro.study import study

    return getattr(study, name)
