"""`python -m stsflow.tasks.models.preflight_worker SPEC`: load a base model, check it, write the findings."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from stsflow.tasks.ground.child import guard
from stsflow.tasks.ground.loading import without_collection


def main() -> None:
    """Check the model that the spec names; the result file appears whole, or not at all when the process dies."""
    guard()
    from stsflow.tasks.models.preflight import Checked, CheckRequest

    asked = CheckRequest.load(Path(sys.argv[1]))
    # Of writable memory: before the libraries are loaded, so that nothing can take more.
    resource.setrlimit(resource.RLIMIT_DATA, (asked.memory_bytes, asked.memory_bytes))
    with without_collection():
        from stsflow.tasks.models.soundness import find_faults

    found = find_faults(asked.model, asked.texts, asked.result.parent)
    Checked(findings=tuple(found)).write(asked.result)


if __name__ == "__main__":
    main()
