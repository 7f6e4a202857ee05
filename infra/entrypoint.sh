#!/bin/sh
# Turn secrets that come as files into the environment variables that each program reads, then become the program.
# Nothing is printed, and no secret becomes an argument.
set -eu
secrets="${STSFLOW_SECRETS:-/run/secrets}"

if [ -r "$secrets/database_password" ]; then
    PGPASSWORD="$(cat "$secrets/database_password")"
    export PGPASSWORD
fi
if [ -r "$secrets/stsflow_auth" ]; then # one line, user:password
    auth="$(head -n 1 "$secrets/stsflow_auth")"
    case "${STSFLOW_ROLE:-client}" in
        prefect) export PREFECT_SERVER_API_AUTH_STRING="$auth" PREFECT_API_AUTH_STRING="$auth" ;;
        mlflow) export MLFLOW_AUTH_ADMIN_USERNAME="${auth%%:*}" MLFLOW_AUTH_ADMIN_PASSWORD="${auth#*:}" ;;
        *)
            export PREFECT_API_AUTH_STRING="$auth"
            export MLFLOW_TRACKING_USERNAME="${auth%%:*}" MLFLOW_TRACKING_PASSWORD="${auth#*:}"
            ;;
    esac
    unset auth
fi
if [ -r "$secrets/flask_key" ]; then
    MLFLOW_FLASK_SERVER_SECRET_KEY="$(cat "$secrets/flask_key")"
    export MLFLOW_FLASK_SERVER_SECRET_KEY
fi
if [ -r "$secrets/s3_secret_key" ]; then
    AWS_SECRET_ACCESS_KEY="$(cat "$secrets/s3_secret_key")"
    export AWS_SECRET_ACCESS_KEY
fi
exec "$@"
