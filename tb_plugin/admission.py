"""Who may use the lesion lab: whether it is on, and which requests it answers."""

import ipaddress
from pathlib import Path
from typing import Any

from tb_plugin.lab import Lab
from tb_plugin.lab.process import LabError


def lab_of(flags: Any) -> tuple[Lab | None, str]:
    """The lab, or None and why it is off."""
    folder = getattr(flags, "single_directions_models", "")
    if not folder:
        return None, (
            "The lesion lab is off. Start TensorBoard with --single_directions_models=DIR, the "
            "folder of your .keras models; load only models that you trust."
        )
    if not Path(folder).is_dir():
        return None, "--single_directions_models does not name a folder."
    everywhere = bool(getattr(flags, "bind_all", False)) or not _is_loopback(
        getattr(flags, "host", None) or "localhost"
    )
    if everywhere and not getattr(flags, "single_directions_remote", False):
        return None, (
            "The lesion lab is off, because this TensorBoard can be reached from other machines; "
            "--single_directions_remote lets them use the lab, too."
        )
    return Lab(Path(folder), int(getattr(flags, "single_directions_memory_mb", 8192))), ""


def check_sender(request, remote: bool) -> None:
    """Refuses requests that another site's page could make a browser send.

    Raises:
        LabError: a Host that is not this machine, another origin, or a body of another type.
    """
    check_page(request, remote)
    # Another site can send this type only after a preflight request, which TensorBoard does not
    # grant.
    if request.headers.get("Content-Type") != "application/json":
        raise LabError("wrong_type", "Content-Type must be application/json.")


def check_page(request, remote: bool) -> None:
    """Refuses pages of other sites, also of a site whose name was pointed at this machine."""
    host = request.host
    if not remote and not _is_loopback(_host_name(host)):
        raise LabError("forbidden", "The lab answers only when it is addressed as localhost.")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise LabError("forbidden", "The lab answers its own page only.")
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise LabError("forbidden", "The lab answers its own page only.")


def _host_name(host: str) -> str:
    """`host` without its port: "[::1]:6006" is "::1"."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
