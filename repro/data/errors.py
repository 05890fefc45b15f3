"""What is raised where images cannot be had or used."""

from __future__ import annotations


class DataError(ValueError):
    """Images that cannot be had or cannot be used; the message says what to do."""


class MissingDataError(DataError):
    """Images that are not on this machine and cannot be downloaded; the message says from where.

    remedy: what to do, in a few words, where that is not to prepare them with TFDS.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
