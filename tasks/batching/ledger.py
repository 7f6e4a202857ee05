"""What the model was really fed, counted where the loss is computed, and compared with what was planned.

The number of a row travels with the row: `with_row_numbers` adds a column, the collator takes it out of the rows with
`take_row_numbers` and puts it into the batch under `ROWS`, and the trainer's `compute_loss` takes it out of the batch
and calls `Ledger.feed`. Counting at the loss, and not where batches are drawn, is what makes the count true: the
loader draws a batch ahead that a run which stops never trains on, and after a resume it draws, or skips, batches whose
work the checkpoint already holds. For the same reason the ledger is saved and loaded with the checkpoint: what was
done after the checkpoint and lost with the process is not part of the model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.batching.epoch import IntArray
from tasks.files import write_bytes_atomically
from tasks.records import Exposure, Finding

ROW_COLUMN = "row_number"
"""Column of the data set."""
ROWS = "row_numbers"
"""Key of the batch."""


def with_row_numbers(dataset: Any) -> Any:
    """The `datasets.Dataset` with a column `row_number`: 0, 1, …"""
    return dataset.add_column(ROW_COLUMN, np.arange(len(dataset), dtype=np.int32))


def take_row_numbers(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Remove `row_number` from every row of a batch about to be collated; return the numbers."""
    return [int(row.pop(ROW_COLUMN)) for row in rows]


class Ledger:
    """Rows and batches fed, for each training set, in one process."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        """`rows`: rows of each training set, by name."""
        self.rows = dict(rows)
        self.rows_seen = dict.fromkeys(rows, 0)
        self.batches = dict.fromkeys(rows, 0)
        self.steps = 0
        self._seen = {name: np.zeros(count, dtype=np.bool_) for name, count in rows.items()}

    def feed(self, name: str, rows: Sequence[int] | IntArray) -> None:
        """Count one batch of training set `name`: its row numbers."""
        self.rows_seen[name] += len(rows)
        self.batches[name] += 1
        self._seen[name][np.asarray(rows)] = True

    def unique_rows_seen(self, name: str) -> int:
        """Distinct rows of set `name` that were fed."""
        return int(self._seen[name].sum())

    def save(self, path: Path, *, steps: int) -> Path:
        """Write the state after `steps` optimiser steps, all or nothing: one bit a row, and the counters."""
        self.steps = steps
        counters = {"rows": self.rows, "rows_seen": self.rows_seen, "batches": self.batches, "steps": steps}
        stream = io.BytesIO()
        arrays = {f"seen/{name}": np.packbits(seen) for name, seen in self._seen.items()}
        np.savez_compressed(stream, counters=np.array(json.dumps(counters)), **arrays)  # type: ignore[arg-type]
        return write_bytes_atomically(path, stream.getvalue())

    @classmethod
    def load(cls, path: Path) -> Ledger:
        """The ledger that `save` left at `path`."""
        with np.load(path, allow_pickle=False) as stored:
            counters = json.loads(str(stored["counters"]))
            ledger = cls(counters["rows"])
            ledger.rows_seen, ledger.batches = counters["rows_seen"], counters["batches"]
            ledger.steps = counters["steps"]
            for name, count in ledger.rows.items():
                ledger._seen[name] = np.unpackbits(stored[f"seen/{name}"], count=count).astype(np.bool_)
        return ledger

    @classmethod
    def merged(cls, ledgers: Iterable[Ledger]) -> Ledger:
        """One ledger for the processes of one training."""
        first, *others = ledgers
        total = cls(first.rows)
        for ledger in (first, *others):
            total.steps = max(total.steps, ledger.steps)
            for name in total.rows:
                total.rows_seen[name] += ledger.rows_seen[name]
                total.batches[name] += ledger.batches[name]
                total._seen[name] |= ledger._seen[name]
        return total

    def seen(self, name: str) -> npt.NDArray[np.bool_]:
        """For each row of set `name` whether it was fed."""
        return self._seen[name].copy()

    def actual(self, planned: Sequence[Exposure]) -> tuple[Exposure, ...]:
        """The planned exposures with what was counted in place of what was planned for the run."""
        return tuple(self._counted(item) for item in planned)

    def differences(self, planned: Sequence[Exposure]) -> tuple[Finding, ...]:
        """An error for every set of which other batches or rows were fed than planned; empty when all agree.

        `planned` must be for the steps that were done: after an early stop, plan again with that many `max_steps`.
        """
        findings = []
        for plan in planned:
            counted = self._counted(plan)
            pairs = {
                "batches": (plan.batches, counted.batches),
                "rows": (plan.rows_seen, counted.rows_seen),
                "distinct rows": (plan.unique_rows_seen, counted.unique_rows_seen),
            }
            wrong = {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}
            if wrong:
                text = ", ".join(f"{fed:,} {what} instead of {wanted:,}" for what, (wanted, fed) in wrong.items())
                findings.append(
                    Finding(
                        severity="error",
                        code="exposure.differs",
                        subject=plan.name,
                        message=f"The model was not fed what the plan says of {plan.name}: {text}.",
                        remedy="Do not trust the exposure of this run; train again with --fresh, and report it.",
                        numbers={
                            key: float(value)
                            for what, (wanted, fed) in wrong.items()
                            for key, value in ((f"planned {what}", wanted), (f"fed {what}", fed))
                        },
                    )
                )
        return tuple(findings)

    def _counted(self, plan: Exposure) -> Exposure:
        name, unique = plan.name, self.unique_rows_seen(plan.name)
        return plan.model_copy(
            update={
                "batches": self.batches[name],
                "rows_seen": self.rows_seen[name],
                "unique_rows_seen": unique,
                "repeats": self.rows_seen[name] - unique,
                "seen_share": unique / plan.rows if plan.rows else 0.0,
            }
        )
