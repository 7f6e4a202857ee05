#!/bin/sh
# Start the MLflow server: the database is brought to this version first, then the server opens its port.
# Settings come from the environment (see server.env); secrets too, and never as arguments.
set -eu
# Packages of the current folder shadow none; uvicorn puts it on Python's path once more unless told another one.
export PYTHONSAFEPATH=1 UVICORN_APP_DIR="$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)"

: "${MLFLOW_BACKEND_STORE_URI:?set MLFLOW_BACKEND_STORE_URI, for example in server.env}"
: "${MLFLOW_ARTIFACTS_DESTINATION:?set MLFLOW_ARTIFACTS_DESTINATION, for example in server.env}"
[ -n "${MLFLOW_AUTH_ADMIN_USERNAME:-}" ] || [ "${STSFLOW_NO_AUTH:-}" = 1 ] || {
    echo "set MLFLOW_AUTH_ADMIN_USERNAME, or STSFLOW_NO_AUTH=1 for a server that asks nobody for a password" >&2
    exit 2
}
host="${MLFLOW_HOST:-127.0.0.1}"
port="${MLFLOW_PORT:-5000}"

# Safe on an empty database (it is filled) and on a current one (nothing happens). One server at a time may do this.
python -m mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"

set -- python -m mlflow server --host "$host" --port "$port" --workers "${MLFLOW_WORKERS:-2}"
if [ -n "${MLFLOW_AUTH_ADMIN_USERNAME:-}" ]; then
    : "${MLFLOW_AUTH_ADMIN_PASSWORD:?a user needs a password}"
    : "${MLFLOW_AUTH_CONFIG_PATH:?passwords need MLFLOW_AUTH_CONFIG_PATH, see basic_auth.ini}"
    : "${MLFLOW_FLASK_SERVER_SECRET_KEY:?passwords need MLFLOW_FLASK_SERVER_SECRET_KEY, the same on every server}"
    set -- "$@" --app-name basic-auth
fi
exec "$@"
