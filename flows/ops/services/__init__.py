"""The servers and workers of one machine: `stsflow up` and `stsflow down`.

settings.py    what was started: addresses, database, pools; a record without secrets
secrets.py     the password for people and programs, from the environment or a file
database.py    which databases a `--database-url` means, and making them
supervisor.py  supervisord: its configuration, its start, its answers
launch.py      one process: builds that service's environment and becomes it
guard.py       the Prefect server behind checks of Host and Origin
manage.py      up, down, status
"""

from stsflow.flows.ops.services.manage import connect, down, running_environment, status, up
from stsflow.flows.ops.services.printing import print_report
from stsflow.flows.ops.services.settings import Services, ServicesReport

__all__ = ["Services", "ServicesReport", "connect", "down", "print_report", "running_environment", "status", "up"]
