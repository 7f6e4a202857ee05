"""The flows of stsflow and its command line."""

import logging

# What our own modules say at INFO belongs into a run's log. Prefect copies its handlers to them, but not its level.
logging.getLogger("stsflow").setLevel(logging.INFO)
