#!/bin/sh
# Bring back a backup made by backup.sh; servers must be stopped. What is there now is replaced.
#   infra/restore.sh BACKUP
set -eu
export PYTHONSAFEPATH=1 # packages of the current folder shadow none
python -m stsflow.flows.ops.backup check "${1:?name the backup}"
python -m stsflow.flows.ops.backup restore "$1" --overwrite ${STSFLOW_ARTIFACTS:+--artifacts "$STSFLOW_ARTIFACTS"}
