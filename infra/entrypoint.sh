#!/bin/sh
# Turn secrets that come as files into the environment variables that each program reads, then become the program.
# Nothing is printed, and no secret becomes an argument. A secret that is there and cannot be used ends the start, and so
# does a server (STSFLOW_ROLE prefect or mlflow) that has no password: it would be open.
set -eu
secrets="${STSFLOW_SECRETS:-/run/secrets}"
role="${STSFLOW_ROLE:-client}"

refuse() {
    echo "stsflow: the secret $1 $2" >&2
    exit 2
}

# The first line of a secret, into $secret; status 1 where there is none.
read_secret() {
    secret=""
    [ -e "$secrets/$1" ] || [ -L "$secrets/$1" ] || return 1
    [ -f "$secrets/$1" ] && [ -r "$secrets/$1" ] || refuse "$1" "cannot be read"
    IFS= read -r secret <"$secrets/$1" || true # false where the line has no end
    [ -n "$secret" ] || refuse "$1" "is empty"
    case "$secret" in *[![:print:]]*) refuse "$1" "holds a character that is not printable" ;; esac
}

case "$role" in
    prefect | mlflow | client) ;;
    *) echo "stsflow: STSFLOW_ROLE is $role; prefect, mlflow and client are allowed" >&2 && exit 2 ;;
esac
if read_secret stsflow_auth; then # user:password
    user="${secret%%:*}"
    password="${secret#*:}"
    case "$secret" in *:*) ;; *) refuse stsflow_auth "is not of the form user:password" ;; esac
    [ -n "$user" ] || refuse stsflow_auth "has no user before the colon"
    [ "${#password}" -ge 12 ] || refuse stsflow_auth "has a password of fewer than 12 characters"
    case "$role" in
        prefect) export PREFECT_SERVER_API_AUTH_STRING="$secret" PREFECT_API_AUTH_STRING="$secret" ;;
        mlflow) export MLFLOW_AUTH_ADMIN_USERNAME="$user" MLFLOW_AUTH_ADMIN_PASSWORD="$password" ;;
        client)
            export PREFECT_API_AUTH_STRING="$secret"
            export MLFLOW_TRACKING_USERNAME="$user" MLFLOW_TRACKING_PASSWORD="$password"
            ;;
    esac
    unset user password
elif [ "$role" != client ]; then
    refuse stsflow_auth "is missing, and a server without a password is open"
fi
if read_secret database_password; then
    export PGPASSWORD="$secret"
fi
if read_secret redis_password; then
    # Prefect's background services know their Redis by an address alone, which the password becomes a part of.
    case "$secret" in *[!A-Za-z0-9._~-]*) refuse redis_password "holds more than letters, digits and ._~-" ;; esac
    export PREFECT_REDIS_MESSAGING_PASSWORD="$secret"
    case "${PREFECT_SERVER_DOCKET_URL:-}" in
        redis://*@*) ;;
        redis://*) export PREFECT_SERVER_DOCKET_URL="redis://:$secret@${PREFECT_SERVER_DOCKET_URL#redis://}" ;;
    esac
fi
if read_secret flask_key; then
    export MLFLOW_FLASK_SERVER_SECRET_KEY="$secret"
fi
if read_secret s3_secret_key; then
    export AWS_SECRET_ACCESS_KEY="$secret"
fi
unset secret
exec "$@"
