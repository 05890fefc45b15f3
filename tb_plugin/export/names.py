"""Names of files and folders that any name of a run can be made into."""

import hashlib
import re

LONGEST_WORDS = 40  # letters of a run's name in the name of its folder


def folder_name(*names: str) -> str:
    """A file name of small letters, digits and lines that no other names share.

    >>> folder_name("fig1a/seed=0", "curve")
    'fig1a-seed-0-curve-879edee4'
    """
    words = re.sub(r"[^a-z0-9]+", "-", " ".join(names).lower()).strip("-")
    digest = hashlib.sha256("\0".join(names).encode(errors="surrogatepass")).hexdigest()
    return f"{words[:LONGEST_WORDS].strip('-')}-{digest[:8]}".lstrip("-")
