"""Token statistics in a process of their own, for tokenizers that only transformers can read.

    python -m stsflow.tasks.tokens.worker SPEC RESULT

SPEC is a TokenRequest, RESULT becomes a TokenReport. The lengths are written beside SPEC.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from stsflow.tasks.ground.child import guard
from stsflow.tasks.tokens.counting import counter_of
from stsflow.tasks.tokens.statistics import TokenRequest, measure


def main(arguments: Sequence[str]) -> None:
    """Read the request, count, write the report."""
    spec, result = map(Path, arguments)
    request = TokenRequest.load(spec)
    measure(request, counter_of(request.base.path), spec.parent).write(result)


if __name__ == "__main__":
    guard()
    main(sys.argv[1:])
