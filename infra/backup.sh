#!/bin/sh
# Backup of compose.yaml's databases and artifacts into a new folder below DIRECTORY, the oldest beyond KEEP removed.
#   infra/backup.sh DIRECTORY [KEEP]
# Databases and store are named by STSFLOW_DATABASE_URL and STSFLOW_ARTIFACTS; without them, the workspace's own.
set -eu
export PYTHONSAFEPATH=1 # packages of the current folder shadow none
directory="${1:?name the folder that backups go to}"
keep="${2:-7}"
mkdir -p "$directory"
target="$directory/$(date -u +%Y%m%dT%H%M%SZ)"
python -m stsflow.flows.ops.backup create "$target" ${STSFLOW_ARTIFACTS:+--artifacts "$STSFLOW_ARTIFACTS"}
python -m stsflow.flows.ops.backup check "$target"
find "$directory" -mindepth 1 -maxdepth 1 -type d -name '20??????T??????Z' | sort -r | tail -n "+$((keep + 1))" |
    while IFS= read -r old; do rm -r -- "$old"; done
