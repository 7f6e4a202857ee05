"""A window of texts against a reference: samples measured by a child and found again, then one test a measure.

What is kept of texts in the workspace is numbers: embeddings, lengths, shares. They are found by the digests of texts
and model, so that the next look measures the new window alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stsflow.tasks.drift.texts import DrawnTexts
from stsflow.tasks.drift.worker import NUMBERS, TEXTS, MeasureSpec
from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import EvaluationFailed, ModelError, Refused
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make_all
from stsflow.tasks.models.hardware import AskedDevice, Device, choose_device
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.sections import DriftConfig
from stsflow.tasks.records.drift import DriftMeasure, DriftReport, SampleOfTexts
from stsflow.tasks.records.prompts import Side
from stsflow.tasks.statistics.two_samples import TwoSamples, holm, ks_test, mmd_test, ratio_test, shares_test

logger = logging.getLogger(__name__)

WORKER = "stsflow.tasks.drift.worker"
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy")


@dataclass(frozen=True)
class Measured:
    """The numbers of a sample, one row a text."""

    embeddings: NDArray[np.float32]
    tokens: NDArray[np.int64]
    unknown: NDArray[np.int64]
    scripts: NDArray[np.float32]
    script_names: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> Measured:
        """The file that the child wrote."""
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as stream:
            columns = {name: stream.get_tensor(name) for name in ("embeddings", "tokens", "unknown", "scripts")}
            return cls(**columns, script_names=tuple(json.loads(stream.metadata()["scripts"])))


@dataclass(frozen=True)
class Looker:
    """The model that reads the texts, and where."""

    name: str
    path: Path
    digest: str
    batch_size: int = 64
    device: AskedDevice = "auto"


def look(
    model: Looker, reference: DrawnTexts, window: DrawnTexts, config: DriftConfig, workspace: Workspace,
    notes: tuple[str, ...] = (),
) -> DriftReport:  # fmt: skip
    """What became of the texts. Raises ModelError when the model is refused, EvaluationFailed when its child ends."""
    before, now = measured(model, (reference, window), config.side, workspace)
    return DriftReport(
        model=model.name, model_digest=model.digest, when=datetime.now(UTC), level=config.level,
        reference=_described(reference, before), window=_described(window, now),
        measures=compare(before, now, config.permutations, config.seed), permutations=config.permutations, notes=notes,
    )  # fmt: skip


def compare(before: Measured, now: Measured, permutations: int, seed: int) -> tuple[DriftMeasure, ...]:
    """Four measures of two samples, each by its permutation test, corrected for their number."""
    names = sorted({*before.script_names, *now.script_names})
    scripts = [_under(names, sample) for sample in (before, now)]
    unknown = [(sample.unknown, sample.tokens) for sample in (before, now)]
    found: dict[str, TwoSamples] = {
        "length": ks_test(before.tokens, now.tokens, permutations, seed),
        "script": shares_test(scripts[0], scripts[1], permutations, seed),
        "unknown": ratio_test(unknown[0], unknown[1], permutations, seed),
        "meaning": mmd_test(before.embeddings, now.embeddings, permutations, seed),
    }
    told = {
        "length": f"{before.tokens.mean():.1f} tokens a text, now {now.tokens.mean():.1f}",
        "script": f"{_largest(before)}, now {_largest(now)}",
        "unknown": f"{_unknown_share(before):.2%} of the tokens are unknown, now {_unknown_share(now):.2%}",
        "meaning": f"the embeddings lie {max(found['meaning'].statistic, 0.0) ** 0.5:.3f} apart (MMD)",
    }
    adjusted = holm({name: test.p_value for name, test in found.items()})
    return tuple(
        DriftMeasure(
            name=name, what=f"{name}: {told[name]}", statistic=test.statistic, p_value=test.p_value,
            adjusted=adjusted[name],
        )
        for name, test in found.items()
    )  # fmt: skip


class _Kept(Record):
    """Numbers of a sample in their folder."""

    numbers: Path


def measured(model: Looker, samples: Sequence[DrawnTexts], side: Side | None, workspace: Workspace) -> list[Measured]:
    """The numbers of each sample, made by one child process where they are not found."""
    device = cast("Device", choose_device(model.device).chosen)
    libraries = {name: version for name, version in versions().items() if name in LIBRARIES}
    how = (model.digest, side, model.batch_size, device, code_of(WORKER), libraries)
    keys = [fingerprint(sample.drawn, *how) for sample in samples]
    texts = dict(zip(keys, samples, strict=True))

    def make(folders: Mapping[str, Path]) -> dict[str, _Kept]:
        for key, folder in folders.items():
            logger.info("%s reads %d texts of %s", model.name, len(texts[key].drawn), texts[key].source)
            (folder / TEXTS).write_text(json.dumps(texts[key].drawn), encoding="utf-8")
        spec = MeasureSpec(
            model=model.path, side=side, batch_size=model.batch_size, device=device, folders=tuple(folders.values())
        )
        _run(model, spec, workspace.made("drift", keys[0]).with_suffix(".log"))
        return {key: _Kept(numbers=folder / NUMBERS) for key, folder in folders.items()}

    found = find_or_make_all(workspace, "drift", texts, _Kept, make, what="the numbers of texts")
    return [Measured.load(found[key].numbers) for key in keys]


def _run(model: Looker, spec: MeasureSpec, log: Path) -> None:
    log.unlink(missing_ok=True)
    command = python_module(WORKER, str(spec.write(spec.folders[0] / "spec.json")))
    try:
        ended = run_child(command, log, environment=process_environment())
    finally:
        for folder in spec.folders:
            (folder / TEXTS).unlink()
    if ended.code == Refused.exit_code:
        raise ModelError(last_lines(log, 1))
    if ended.code != 0:
        raise EvaluationFailed(f"{model.name} could not read the texts; the end of {log}:\n{last_lines(log)}")
    log.unlink()


def _described(texts: DrawnTexts, sample: Measured) -> SampleOfTexts:
    return SampleOfTexts(
        source=texts.source, texts=texts.texts, taken=len(texts.drawn), tokens=float(sample.tokens.mean()),
        unknown_share=_unknown_share(sample), scripts=_mean_shares(sample),
    )  # fmt: skip


def _unknown_share(sample: Measured) -> float:
    return float(sample.unknown.sum() / max(1, sample.tokens.sum()))


def _mean_shares(sample: Measured) -> dict[str, float]:
    means = sample.scripts.mean(axis=0)
    return {sample.script_names[number]: float(means[number]) for number in np.argsort(-means, kind="stable")}


def _largest(sample: Measured) -> str:
    """`91 % Hangul, 6 % Latin`."""
    return ", ".join(f"{share:.0%} {name}" for name, share in list(_mean_shares(sample).items())[:2]) or "no letters"


def _under(names: list[str], sample: Measured) -> NDArray[np.float64]:
    """(texts, names) the sample's shares under the names of both."""
    shares = np.zeros((len(sample.scripts), len(names)))
    shares[:, [names.index(name) for name in sample.script_names]] = sample.scripts
    return shares
