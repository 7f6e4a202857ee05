"""The servers and workers of one machine: `stsflow up` and `stsflow down`.

settings.py    what was started: addresses, database, pools; a record without secrets
passwords.py   the password for people and programs, from the environment or a file
database.py    which databases a `--database-url` means, and making them
ports.py       addresses and ports to listen on
supervisor.py  supervisord: its configuration, its start, its answers
launch.py      one process: builds that service's environment and becomes it
guard.py       the Prefect server behind checks of Host and Origin
readiness.py   when all of it counts as ready
processes.py   which processes these are, and ending them
manage.py      up, down, status
connection.py  how a command finds what runs
"""

from stsflow.flows.ops.services.connection import connect, running_environment
from stsflow.flows.ops.services.manage import down, status, up
from stsflow.flows.ops.services.printing import print_report
from stsflow.flows.ops.services.settings import Services, ServicesReport

__all__ = ["Services", "ServicesReport", "connect", "down", "print_report", "running_environment", "status", "up"]
