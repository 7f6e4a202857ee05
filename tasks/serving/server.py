"""The server from its first breath to its last: what is listened on, who runs beside it, and how it ends."""

from __future__ import annotations

import logging
import socket
from types import FrameType

import uvicorn

from stsflow.tasks.ground.errors import PreconditionError
from stsflow.tasks.serving.app import application
from stsflow.tasks.serving.follow import Follower
from stsflow.tasks.serving.service import Service

logger = logging.getLogger(__name__)

LAST_ANSWERS_SECONDS = 30
"""How long clients may take to read their answers when the server ends."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the address, on which nobody is answered yet; port 0 takes a free one. Raises
    PreconditionError.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise PreconditionError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}; choose another address with --host and "
            "--port"
        ) from None
    return bound


class Server(uvicorn.Server):
    """Ends in two steps: new requests are refused, and when all that were accepted are answered, connections close."""

    def __init__(self, service: Service) -> None:
        config = uvicorn.Config(
            application(service), log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
            http="h11", loop="asyncio", timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
        )  # fmt: skip
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or Ctrl-C: the first ends gently, the second at once."""
        del sig, frame
        if self.service.stopping:
            self.force_exit = self.should_exit = True
        self.service.stopping = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to close: nobody is left whose request was accepted."""
        if self.service.stopping and not self.service.under_way:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(service: Service, bound: socket.socket, follower: Follower | None) -> None:
    """Answer requests on `bound` until SIGTERM or Ctrl-C, then finish those that were accepted."""
    service.worker.start()
    if follower is not None:
        follower.start()
    Server(service).run(sockets=[bound])
    if follower is not None:
        follower.end()
    service.line.close()
    service.worker.join(timeout=1.0)  # a second signal leaves a batch in the middle; the thread ends with the process
    logger.info("stopped; %d requests were answered", service.answered)
