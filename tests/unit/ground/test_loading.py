"""Imports are not interrupted by the collector, and everything after them is."""

from __future__ import annotations

import gc

import pytest

from stsflow.tasks.ground.loading import without_collection


def test_nothing_is_collected_meanwhile_and_what_was_made_is_passed_over_later() -> None:
    try:
        with without_collection():
            assert not gc.isenabled()
            made = [[] for _ in range(10)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= len(made)
        assert all(one is not made[0] for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_the_collector_at_work() -> None:
    try:
        with pytest.raises(ModuleNotFoundError), without_collection():
            import no_such_module  # type: ignore[import-not-found]  # noqa: F401
        assert gc.isenabled()
    finally:
        gc.unfreeze()
