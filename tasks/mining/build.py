"""Mined sets in the place of the prepared ones: what a flow calls. The work is a child's, the result is found again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

from stsflow.tasks.ground.child import last_lines, python_module, run_child
from stsflow.tasks.ground.environment import versions
from stsflow.tasks.ground.errors import DataError, MiningFailed, Refused
from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.leakage.policies import check_leakage
from stsflow.tasks.made.code import code_of
from stsflow.tasks.made.folder import find_or_make
from stsflow.tasks.mining.request import RESULT, Asked, MiningResult, MiningSpec
from stsflow.tasks.models.fetch import fetch_base_model
from stsflow.tasks.models.hardware import Device, choose_device
from stsflow.tasks.models.process_environment import process_environment
from stsflow.tasks.recipe.prompts import prompts_of_set
from stsflow.tasks.recipe.sections import LeakageConfig, RunConfig
from stsflow.tasks.records.data import PreparedData, PreparedSet
from stsflow.tasks.records.findings import Finding
from stsflow.tasks.records.mining import MiningAudit
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.search.dense import require_index
from stsflow.tasks.sources import Access

logger = logging.getLogger(__name__)

PROGRESS = " INFO stsflow.mining: "
"""What lines of the child's log have that say how far it is."""
WORKER = "stsflow.tasks.mining.worker"
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy", "bm25s", "usearch", "pyarrow")
DOUBTED_SHARE = 0.05
"""From this share of mined negatives that look like positives on, it is a warning."""
DROPPED_SHARE = 0.2
"""From this share of rows that mining drops on, it is a warning."""


def mine_negatives(
    recipe: RunConfig, data: PreparedData, base: BaseModelRef, workspace: Workspace, *, fresh: bool = False
) -> PreparedData:
    """The data with mined negatives in the sets that `recipe.mining` names; the data itself when it names none.

    Mined sets have rows, roles, digest and folder of their own below `workspace.made("mined", key)`, and a `mined`
    record. What all sets share with evaluation sets is looked for again. Raises DataError when no row is left or the
    corpus is empty, ModelError and PreconditionError for a model or an extra that is not there, MiningFailed with the
    last lines of the child's log for whatever else ends it.
    """
    if not recipe.mining:
        return data
    asked = {name: _asked(recipe, name, base, workspace) for name in recipe.mining}
    device = cast("Device", choose_device(recipe.training.device).chosen)
    key = fingerprint(
        data.fingerprint, [[item.name, item.digest] for item in (*data.train, *data.evaluation)],
        {name: _determines(one) for name, one in asked.items()}, recipe.data.leakage, device, code_of(WORKER),
        {name: version for name, version in versions().items() if name in LIBRARIES},
    )  # fmt: skip

    def make(folder: Path) -> PreparedData:
        spec = MiningSpec(
            train=data.train, evaluation=data.evaluation, asked=asked, folder=folder,
            embeddings=workspace.root / "embeddings", leases=workspace.root / "leases", device=device,
        )  # fmt: skip
        mined = _mined_by_a_child(spec, workspace.made("mined", key).with_suffix(".log"))
        return _checked(data, mined, recipe.data.leakage, folder, key)

    found = find_or_make(workspace, "mined", key, PreparedData, make, what="the mined negatives", fresh=fresh)
    sources = {item.name: item.source for item in data.train}
    train = tuple(item.model_copy(update={"source": sources[item.name]}) for item in found.train)
    for item in train:
        if item.mined is not None:
            logger.info("%s: %s", item.name, in_words(item.mined))
    return found.model_copy(update={"train": train})


def in_words(mined: MiningAudit) -> str:
    """`4,998 of 5,000 rows have 3 mined negatives each; of those 12 score as high as the positive, …`."""
    filled = f" and {mined.filled:,} texts drawn at random in the places that were left" if mined.filled else ""
    return (
        f"{mined.rows:,} of {mined.rows_before:,} rows have {mined.negatives} mined negative(s) each{filled}, from a "
        f"corpus of {mined.corpus:,} texts; of {mined.mined:,} mined negatives {mined.like_positives:,} score at least "
        f"as high as their row's positive, and {mined.share_a_positive:,} share a positive with their anchor"
    )


def _asked(recipe: RunConfig, name: str, base: BaseModelRef, workspace: Workspace) -> Asked:
    config = recipe.mining[name]
    if "dense" in config.candidates and config.exact_up_to == 0:
        require_index(f"mining.{name}.exact_up_to: 0")
    model = fetch_base_model(config.model, workspace) if config.model else base
    guide = fetch_base_model(config.guide, workspace) if config.guide else None
    corpus_file = None
    if config.corpus_file is not None:
        data = recipe.data
        access = Access(data.root, workspace.downloads, data.download_timeout_seconds, data.download_retries)
        corpus_file = config.corpus_file.source.fetch(access)
    return Asked(
        config=config, model=model, guide=guide, symmetric=recipe.data.train[name].shape.symmetric,
        prompts=_prompts(recipe, name, model), guide_prompts=_prompts(recipe, name, guide) if guide else ("", ""),
        corpus_file=corpus_file,
    )  # fmt: skip


def _prompts(recipe: RunConfig, name: str, model: BaseModelRef) -> tuple[str, str]:
    """What the model reads before anchors and before positives."""
    given = prompts_of_set(recipe, name, model)
    anchor, positive = recipe.roles_of(name).texts[:2]
    return given.get(anchor, ""), given.get(positive, "")


def _determines(asked: Asked) -> list[object]:
    """What of it determines the rows that come out: no path, and no name that the bytes go by."""
    models = [
        None if one is None else [one.digest, one.max_seq_length, one.pooling, one.name]
        for one in (asked.model, asked.guide)
    ]
    config = asked.config.model_dump(mode="json", exclude={"model", "guide"})
    file = asked.config.corpus_file
    if file is not None:
        named = set(file.source.places | file.source.locks)
        config["corpus_file"] = file.model_dump(mode="json", exclude={"source": named})
    revision = asked.corpus_file and [asked.corpus_file.revision, [one.sha256 for one in asked.corpus_file.files]]
    return [config, models, asked.prompts, asked.guide_prompts, asked.symmetric, revision]


def _mined_by_a_child(spec: MiningSpec, log: Path) -> tuple[PreparedSet, ...]:
    log.unlink(missing_ok=True)
    names = ", ".join(spec.asked)
    logger.info("mining negatives for %s", names)
    command = python_module(WORKER, str(spec.write(spec.folder / "spec.json")))
    ended = run_child(command, log, environment=process_environment(), on_tick=_relayed(log))
    if ended.code == Refused.exit_code:
        raise DataError(last_lines(log, 1))
    found = MiningResult.load_or_none(spec.folder / RESULT)
    if ended.code != 0 or found is None:
        raise MiningFailed(
            f"the mining of negatives for {names} ended with code {ended.code}; the end of {log}:\n{last_lines(log)}"
        )
    for name in ("spec.json", RESULT):
        (spec.folder / name).unlink()
    return found.sets


def _relayed(log: Path) -> Callable[[], None]:
    """Says on every call what the child has written of its progress since the last one."""
    read = 0

    def relay() -> None:
        nonlocal read
        if not log.is_file():
            return
        with log.open("rb") as stream:
            stream.seek(read)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            if PROGRESS in line:
                logger.info("%s", line.partition(PROGRESS)[2])

    return relay


def _checked(
    data: PreparedData, mined: tuple[PreparedSet, ...], config: LeakageConfig, folder: Path, key: str
) -> PreparedData:
    """All sets compared with each other again: a mined row is a row like any other."""
    names = {item.name: item for item in mined}
    train = tuple(names.get(item.name, item) for item in data.train)
    checked = check_leakage(train, data.evaluation, config, folder / "leakage")
    before = [item for item in data.findings if not (_is_of_leakage(item) and item.subject in names)]
    after = [item for item in checked.findings if _is_of_leakage(item) and item.subject in names]
    dropped = [item for item in data.findings if item not in before and "were dropped" in item.message]
    return PreparedData(
        fingerprint=key,
        train=checked.train,
        evaluation=checked.evaluation,
        overlaps=checked.overlaps,
        suite_overlaps=checked.suite_overlaps,
        findings=(*before, *dropped, *after, *(finding_of(item.mined) for item in mined if item.mined is not None)),
    )


def _is_of_leakage(finding: Finding) -> bool:
    return finding.code.startswith("leakage.")


def finding_of(mined: MiningAudit) -> Finding:
    """What mining did to a set, as a warning where much of it is to be doubted."""
    doubted, dropped = mined.doubted_share, mined.dropped / mined.rows_before
    filled = mined.filled / max(1, mined.filled + mined.mined)
    remedy = []
    if doubted >= DOUBTED_SHARE:
        remedy.append(f"Read the examples in the card; set mining.{mined.set}.relative_margin, skip, or a guide.")
    if dropped >= DROPPED_SHARE:
        remedy.append(f"Raise mining.{mined.set}.depth, loosen its filters, or set fewer: keep.")
    if filled >= DROPPED_SHARE:
        remedy.append(f"{filled:.0%} of the negatives are drawn at random: loosen the filters of mining.{mined.set}.")
    return Finding(
        severity="warning" if remedy else "info",
        code="mining.audit",
        subject=mined.set,
        message=f"{mined.set}: {in_words(mined)}.",
        remedy=" ".join(remedy),
        numbers={
            "rows_before": float(mined.rows_before), "rows": float(mined.rows), "dropped": float(mined.dropped),
            "filled": float(mined.filled), "mined": float(mined.mined), "like_positives": float(mined.like_positives),
            "share_a_positive": float(mined.share_a_positive),
        },
    )  # fmt: skip
