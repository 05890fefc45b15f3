"""What `python -m repro lesion` shows on a terminal.

This module is light, so that TensorFlow is silenced before it starts; `command`, which does the
work, imports Keras.
"""

from __future__ import annotations

import os
import sys
import time

from absl import logging

from repro.display.terminal import bar, plain, print_tensorboard, shown
from repro.study.request import LesionRequest


def lesion(request: LesionRequest) -> int:
    """Studies one classifier of the user's; returns the status to exit with."""
    began = time.monotonic()
    # Messages of TensorFlow and TFDS are not meant for the user of a study.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.ERROR)
    from repro.study import command  # imports Keras

    try:
        if request.list_only:
            print(plain(command.listing(request)))
            return 0
        made = command.run(
            request,
            lambda sentence: print(sentence, flush=True),
            lambda total: bar(total, "Lesioning"),
        )
    except command.LesionError as error:
        print(f"repro: {error}", file=sys.stderr)
        return 1
    print()
    for sentence in made.findings:
        print(plain(sentence))
    print(f"\nReport:      {shown(made.report)}")
    print(f"Model:       {shown(made.model)} (with masks)")
    print_tensorboard(made.tensorboard, made.networks)
    print(f"({time.monotonic() - began:.0f} s)")
    return 0
