"""What the model was really fed, counted where the loss is computed, and compared with what was planned.

The number of a row travels with the row through loader and collator into the batch, and is counted when the batch is
trained on. Counting there, and not where batches are drawn, is what makes the count true: the loader draws a batch
ahead that a run which stops never trains on, and after a resume it draws, or skips, batches whose work the checkpoint
already holds. For the same reason the ledger is saved and loaded with the checkpoint: what was done after the
checkpoint and lost with the process is not part of the model.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stsflow.tasks.batching.epoch import IntArray
from stsflow.tasks.ground.files import write_bytes_atomically
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.plan import Exposure


class Ledger:
    """Rows and batches fed, for each training set, in one process."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        """`rows`: rows of each training set, by name."""
        self.rows = dict(rows)
        self.rows_fed = dict.fromkeys(rows, 0)
        self.batches = dict.fromkeys(rows, 0)
        self._seen = {name: np.zeros(count, dtype=np.bool_) for name, count in rows.items()}

    def count(self, name: str, rows: Sequence[int] | IntArray) -> None:
        """Note a batch of set `name`: its row numbers, from 0."""
        self.rows_fed[name] += len(rows)
        self.batches[name] += 1
        self._seen[name][np.asarray(rows)] = True

    def unique(self, name: str) -> int:
        """Distinct rows of set `name` that were fed."""
        return int(np.count_nonzero(self._seen[name]))

    def save(self, path: Path) -> None:
        """Write the ledger to `path` (.npz, no pickled objects), all or nothing: one bit a row, and the counters."""
        arrays = {f"seen_{number}": np.packbits(seen) for number, seen in enumerate(self._seen.values())}
        counts = np.array([[self.rows[name], self.rows_fed[name], self.batches[name]] for name in self.rows], np.int64)
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, counts=counts, names=np.array(list(self.rows)), **arrays)
        write_bytes_atomically(path, stream.getvalue())

    def load(self, path: Path) -> None:
        """Take over what `save` wrote for the same sets; raises ValueError when it was for others."""
        with np.load(path, allow_pickle=False) as stored:
            counts = stored["counts"].tolist()
            found = dict(zip(stored["names"].tolist(), (rows for rows, _, _ in counts), strict=True))
            if found != self.rows:
                raise ValueError(f"{path}: the ledger is of {found}, the training sets are {self.rows}")
            for number, name in enumerate(self.rows):
                _, self.rows_fed[name], self.batches[name] = counts[number]
                self._seen[name] = np.unpackbits(stored[f"seen_{number}"], count=self.rows[name]).astype(np.bool_)

    def add(self, other: Ledger) -> None:
        """Add what another process of the same training was fed: its rows of the same batches."""
        for name in self.rows:
            self.rows_fed[name] += other.rows_fed[name]
            self.batches[name] = max(self.batches[name], other.batches[name])
            self._seen[name] |= other._seen[name]

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
        name, unique = plan.name, self.unique(plan.name)
        return plan.model_copy(
            update={
                "batches": self.batches[name],
                "rows_seen": self.rows_fed[name],
                "unique_rows_seen": unique,
                "repeats": self.rows_fed[name] - unique,
                "seen_share": unique / plan.rows if plan.rows else 0.0,
            }
        )
