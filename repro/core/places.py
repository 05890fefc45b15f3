"""Path of the package itself."""

from __future__ import annotations

from pathlib import Path

PARENT = Path(__file__).resolve().parents[2]
"""The folder that holds `repro`: a checkout, or site-packages."""
