"""Loading large libraries without the work that Python adds to it. Only the standard library is used."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """For the imports of the block: nothing is collected meanwhile, nor is what they made ever looked at again.

    The collector goes through everything that is alive each time enough was made. Of the processor time that Prefect,
    MLflow or torch take to load, that was a quarter to a third, and modules are never garbage.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
