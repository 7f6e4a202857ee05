#!/bin/sh
# Bring back a backup made by backup.sh; servers must be stopped. What is there now is replaced.
#   infra/restore.sh BACKUP
set -eu
python -m flows.backup check "${1:?name the backup}"
python -m flows.backup restore "$1" --overwrite ${STSFLOW_ARTIFACTS:+--artifacts "$STSFLOW_ARTIFACTS"}
