"""The embedded Prefect server, tied to the process that uses it. Run as a module this file is that server.

Prefect starts a server by itself where none is configured, and leaves it behind when its process is killed. It also
dies of the Ctrl-C that is meant for the run, which then has nobody to tell that it was cancelled. Ours watches a pipe,
as every child of stsflow does, and has a session of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from tasks.child import GUARD_VARIABLE, guard, python_module


def tie_embedded_server_to_this_process() -> None:
    """Make the server that Prefect starts for this process end with it; does nothing where one is configured."""
    from prefect.settings import PREFECT_API_URL, get_current_settings

    if PREFECT_API_URL.value() is not None:
        return
    from prefect.server.api.server import SubprocessASGIServer

    class TiedServer(SubprocessASGIServer):
        """Prefect keeps one instance for each port and asks that; the first to be made is this one."""

        def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
            reading, self._writing = os.pipe()
            settings = get_current_settings().to_environment_variables(exclude_unset=True)
            ephemeral = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
            try:
                return subprocess.Popen(
                    python_module("flows.embedded_prefect", str(self.port)),
                    env={**os.environ, **ephemeral, **settings, GUARD_VARIABLE: str(reading)},
                    pass_fds=(reading,),
                    start_new_session=True,
                )
            finally:
                os.close(reading)

    TiedServer()


def main() -> None:
    """Serve on loopback until the parent ends."""
    # Not the kernel's signal: it comes when the thread ends that started this process, whichever that was.
    guard(kernel_too=False)
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app", factory=True, host="127.0.0.1", port=int(sys.argv[1]),
        log_level="error", lifespan="on",
    )  # fmt: skip


if __name__ == "__main__":
    main()
