"""Which failures a Prefect task tries again: those that time can mend, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def only(*kinds: type[BaseException]) -> Callable[[Any, Any, Any], bool]:
    """A Prefect `retry_condition_fn` that holds when the task raised one of `kinds`.

    A recipe that is wrong stays wrong: repeating it would only delay the sentence that says so.
    """

    def condition(_task: Any, _run: Any, state: Any) -> bool:
        try:
            state.result()
        except kinds:
            return True
        except BaseException:
            return False
        return False

    return condition
