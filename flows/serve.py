"""`stsflow serve`: a model of a folder or of the registry behind OpenAI's embeddings endpoint."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.ground.loading import without_collection
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.models.hardware import AskedDevice, choose_device
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.serving.limits import BATCH_TOKENS, Limits

if TYPE_CHECKING:
    from stsflow.tasks.serving.address import Alias
    from stsflow.tasks.serving.service import Service

KEY = "STSFLOW_API_KEY"
"""Environment variable with the key that clients have to bring; unset: everybody who reaches the port is answered."""
NEEDED = ("uvicorn", "starlette", "orjson", "prometheus_client")

logger = logging.getLogger(__name__)


def serve_model(
    address: str, *, host: str, port: int, device: AskedDevice, limits: Limits, batch_tokens: int | None,
    follow_every: float, started: Callable[[dict[str, Any]], None],
) -> None:  # fmt: skip
    """Serve the model at `address` until SIGTERM or Ctrl-C; `started` is told where, once requests can come.

    Raises what is wrong before anything is served: PreconditionError, ModelError.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise PreconditionError(
            f"serving needs the extra `serve`, and {', '.join(missing)} is missing: pip install 'stsflow[serve]'"
        )
    key = os.environ.get(KEY)
    if key is not None and not key.strip():
        raise PreconditionError(f"{KEY} is empty; set it to the key that clients bring, or unset it")
    os.environ.update(
        process_environment()
    )  # before torch is loaded; what counts from a process's first moment is lost
    chosen = choose_device(device, said_by="--device")
    limits = replace(limits, batch_tokens=batch_tokens or BATCH_TOKENS[chosen.chosen])
    with without_collection():
        from stsflow.tasks.serving.address import locate
        from stsflow.tasks.serving.follow import Follower
        from stsflow.tasks.serving.model import ServedModel
        from stsflow.tasks.serving.server import listening_socket, serve
        from stsflow.tasks.serving.service import Service
    bound = listening_socket(host, port)
    located, alias = locate(address, Workspace.here())
    service = Service(ServedModel.load(located, chosen.chosen), limits, key.strip() if key else None)
    follower = Follower(alias, service, chosen.chosen, follow_every) if alias and follow_every else None
    if key is None and not _is_loopback(bound.getsockname()[0]):
        logger.warning("everybody who reaches %s is answered: set %s to ask for a key", host, KEY)
    bound.listen(2048)
    started(_described(service, bound.getsockname(), chosen.chosen, alias if follower else None))
    serve(service, bound, follower)


def _described(service: Service, name: tuple[Any, ...], device: str, alias: Alias | None) -> dict[str, Any]:
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return {
        "url": f"http://{host}:{name[1]}/v1", "model": service.model.located.label,
        "digest": service.model.located.digest, "dimensions": service.model.dimension,
        "max_tokens": service.model.longest, "device": device, "batch_tokens": service.limits.batch_tokens,
        "follows": f"{alias.name}@{alias.alias}" if alias else None, "pid": os.getpid(),
    }  # fmt: skip


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback
