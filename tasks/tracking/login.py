"""Who may use the MLflow server that `stsflow up` starts: the one user whose password the server was started with.

MLflow calls `authenticate` for every request but those for its static files and its health check (the
`authorization_function` of its basic-auth app). MLflow's own way compares with a table that keeps the password of the
first start for good, computes a slow hash several times a request, and lets in whoever was ever in that table.
"""

from __future__ import annotations

import hmac
import os

from flask import Response, request
from mlflow.server.auth import make_basic_auth_response
from werkzeug.datastructures import Authorization


def authenticate() -> Authorization | Response:
    """The request's user and password where they are the server's own, else the answer that asks for them (401)."""
    given = request.authorization
    if given is not None and given.type == "basic":
        offered = f"{given.username}:{given.password}".encode()
        own = f"{os.environ['MLFLOW_AUTH_ADMIN_USERNAME']}:{os.environ['MLFLOW_AUTH_ADMIN_PASSWORD']}".encode()
        if hmac.compare_digest(offered, own):
            return given
    refused: Response = make_basic_auth_response()
    return refused
