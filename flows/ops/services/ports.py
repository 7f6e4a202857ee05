"""Addresses and ports to listen on."""

from __future__ import annotations

import socket

import psutil

from stsflow.tasks.ground.errors import PreconditionError


def require_address(host: str) -> None:
    """Raise PreconditionError where `host` is no address of this machine."""
    try:
        with socket.socket(_family_of(host), socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except (OSError, ValueError, TypeError) as error:  # the last two: a label that no name may have, a NUL
        raise PreconditionError(f"--host {host!r} is no address of this machine: {error}.") from error


def port_to_listen_on(host: str, given: int | None, preferred: int, option: str) -> int:
    """The port to listen on: the given one, which must be free, else the preferred one, else any free one."""
    if given is not None:
        if not 1 <= given <= 65535:
            raise PreconditionError(f"{option} {given} is no port; 1 to 65535 are allowed.")
        if not _is_free(host, given):
            raise PreconditionError(
                f"port {given} is taken{_taker(given)}; choose another one with {option}, or leave it out to take any."
            )
        return given
    if _is_free(host, preferred):
        return preferred
    with socket.socket(_family_of(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family_of(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taker(port: int) -> str:
    """` by NAME (process N)` where the system lets us see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return ""
