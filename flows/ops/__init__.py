"""Operations: servers, deployments, backup, doctor. A house beside the flows, which it does not know.

services/             Prefect, MLflow and workers of one machine: `stsflow up` and `stsflow down`
embedded_prefect.py   the server of a command that has none
configured_prefect.py the server that a person has named
truthful_flow_runs.py what became of flow runs whose process is gone, or was stopped
deploy.py             `stsflow deploy`: pools, limits and deployments on a server
deployment_file.py    which flow runs when and where
automations.py        what Prefect then does by itself
champion_event.py     the event that a new champion is
doctor/               `stsflow doctor`
backup.py             both databases and all artifacts, out and in
loopback.py           no proxy before servers of this machine
"""
