"""No proxy stands between a process and the servers of its own machine."""

from __future__ import annotations

import os

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def reach_loopback_directly(*addresses: str) -> None:
    """Let no proxy of the environment stand between this process, or a child, and a server of this machine.

    `addresses` are those, besides loopback, that our servers listen on.
    """
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    hosts = ["*"] if "*" in hosts else list(dict.fromkeys([*hosts, *LOOPBACK, *addresses]))
    for name in ("no_proxy", "NO_PROXY"):  # libraries read the one or the other
        os.environ[name] = ",".join(hosts)
