"""`python -m tasks.models.preflight_worker SPEC`: load a base model, check it, write the findings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tasks.child import guard, read_spec


def main() -> None:
    """Check the model that the spec names; the result file appears whole, or not at all when the process dies."""
    guard()
    from tasks.files import write_text_atomically
    from tasks.models.soundness import find_faults
    from tasks.records import BaseModelRef

    spec: dict[str, Any] = read_spec(sys.argv[1:])
    result = Path(spec["result"])
    findings = find_faults(BaseModelRef.model_validate(spec["model"]), spec["texts"], result.parent)
    answer = {"key": spec["key"], "findings": [finding.model_dump(mode="json") for finding in findings]}
    write_text_atomically(result, json.dumps(answer, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    main()
