"""`python -m tasks.models.preflight_worker SPEC`: load a base model, check it, write the findings."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.child import guard


def main() -> None:
    """Check the model that the spec names; the result file appears whole, or not at all when the process dies."""
    guard()
    from tasks.models.preflight import Checked, CheckRequest
    from tasks.models.soundness import find_faults

    asked = CheckRequest.load(Path(sys.argv[1]))
    found = find_faults(asked.model, asked.texts, asked.result.parent)
    Checked(key=asked.key, findings=tuple(found)).write(asked.result)


if __name__ == "__main__":
    main()
