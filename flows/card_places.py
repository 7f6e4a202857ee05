"""Where the machine of the person who checks a card has data, base model and record of the card's run."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from stsflow.tasks.card.base_at_hand import base_at_hand
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.measured_again import Rows
from stsflow.tasks.card.run_record import RunRecord
from stsflow.tasks.data.build import prepare_data, prepare_evaluation
from stsflow.tasks.ground.errors import StsflowError
from stsflow.tasks.ground.workspace import RunFolder, Workspace
from stsflow.tasks.models.sources import ModelSource
from stsflow.tasks.recipe.prompts import column_prompts
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.data import PreparedData
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.run import RunState
from stsflow.tasks.records.tokens import TokenReport
from stsflow.tasks.sources import Source
from stsflow.tasks.suites import suites_of_rows
from stsflow.tasks.tokens.statistics import measure_tokens
from stsflow.tasks.tracking.runs import reference

logger = logging.getLogger(__name__)


class Places:
    """Where this person's machine has data, base model and record of a card's run."""

    def __init__(
        self, folder: Path, workspace: Workspace, temporary: Path, data: Path | None, recipe: RunConfig | None
    ) -> None:
        self.folder, self.workspace, self.temporary, self.data, self.recipe = folder, workspace, temporary, data, recipe
        # What the workspace has prepared is found again; without a workspace none is made.
        self.scratch = workspace if workspace.root.is_dir() else Workspace(temporary)
        self.own_run: RunFolder | None = None
        """The run's folder, where it is one of this workspace: only then its record says where data and base lie."""

    def find_record(self, shipped: Evidence) -> RunRecord | None:
        """The folder that the card lies in, where it is a run of this workspace; else the run that the card names, here
        or in MLflow."""
        inside = self.folder.resolve().is_relative_to(self.workspace.runs.resolve())
        name = self.folder.resolve().relative_to(self.workspace.runs.resolve()).parts[0] if inside else shipped.run.name
        if not re.fullmatch(r"[\w-]+", name):
            return self._record_in_mlflow(shipped)
        run = self.workspace.run(name)
        state = RunState.load_or_none(run.state)
        if state is None or (not inside and state.mlflow_run_id != shipped.run.mlflow_run_id):
            return self._record_in_mlflow(shipped)
        self.own_run = run
        return RunRecord(where=f"the folder of the run {name}", folder=run.root, run=reference(run, state))

    def _record_in_mlflow(self, shipped: Evidence) -> RunRecord | None:
        """The record that the person's MLflow has of the run, where there is one and it answers."""
        run_id = shipped.run.mlflow_run_id
        has_tracker = bool(os.environ.get("MLFLOW_TRACKING_URI")) or self.workspace.mlflow_database.is_file()
        if not has_tracker or not re.fullmatch(r"[0-9a-f]{32}", run_id):
            return None
        from stsflow.tasks.tracking.store import Store
        from stsflow.tasks.tracking.store_address import check_reachable

        try:
            check_reachable(self.workspace)
            store = Store(self.workspace)
            folder = store.download_record(run_id, self.temporary / "record")
        except StsflowError as error:
            logger.info("MLflow was not asked for the run's record: %s", error)
            return None
        if folder is None:
            return None
        sha256 = str(store.run(run_id).data.tags.get("stsflow.recipe_sha256", ""))
        run = shipped.run.model_copy(update={"recipe_sha256": sha256})
        return RunRecord(where=f"MLflow run {run_id}", folder=folder, run=run)

    def find_base(self, stated: BaseModelRef, source: ModelSource) -> BaseModelRef | None:
        """The base by its digest: named by the person's recipe or the record, in the hub's cache, or in a package."""
        folder = self.recipe.model.source.own_folder if self.recipe is not None else None
        own = [folder] if folder is not None else []
        if self.own_run is not None:
            recorded = BaseModelRef.load_or_none(self.own_run.base_model)
            own += [recorded.path] if recorded is not None else []
        return base_at_hand(stated, source, own)

    def read_rows(self, recipe: RunConfig) -> Rows:
        """Training and evaluation rows; without the training data the evaluation rows of each suite alone."""
        reading, own = self._reading(recipe)
        sources = [section.source for section in reading.data.train.values()]
        missing = [why for source in sources if (why := self._out_of_reach(source, own))]
        missing += [f"a teacher labelled {name}, and is not asked again here." for name in reading.taught]
        sets = suites_of_rows(reading.evaluation.suites)
        missing += [why for suite in sets.values() if (why := self._out_of_reach(suite.source, own))]
        if reading.mining:
            missing.append(f"negatives were mined for {', '.join(reading.mining)}, which is not done again here.")
        if not missing:
            try:
                return Rows(data=prepare_data(reading.data, sets, self.scratch), has_training=True)
            except StsflowError as error:
                missing = [str(error)]
        found: list[PreparedData] = []
        without: list[str] = []
        for name, suite in sets.items():
            try:
                if why := self._out_of_reach(suite.source, own):
                    raise StsflowError(why)
                found.append(prepare_evaluation({name: suite}, reading.data.root, self.scratch))
            except StsflowError as error:
                without.append(f"Scores on {name}: {error}")
        return Rows(
            data=PreparedData(fingerprint="", train=(), evaluation=tuple(d.evaluation[0] for d in found)),
            has_training=False,
            missing=(
                f"Training rows, what they share with evaluation rows, and scores on clean rows: {missing[0]}",
                *without,
            ),
        )

    def measure_tokens(self, recipe: RunConfig, data: PreparedData, base: BaseModelRef) -> TokenReport:
        """Token counts with the settings of the recipe."""
        share = recipe.plan.maximum_truncated_share
        return measure_tokens(
            data, base, recipe.batch_sizes, self.scratch, recipe.tokens, maximum_truncated_share=share,
            prompts=column_prompts(recipe, base),
        )  # fmt: skip

    def _reading(self, shipped: RunConfig) -> tuple[RunConfig, bool]:
        """The recipe that says where rows are, and whether it is the person's own: given, or of the run's record.

        Hashes and counts that it is locked to are left out: other rows are found by their digest, and named.
        """
        reading, own = self.recipe, True
        if reading is None and self.own_run is not None:
            try:
                reading = RunConfig.from_recipe(self.own_run.recipe)
            except StsflowError:
                reading = None
        if reading is None:
            reading, own = shipped, False
        values = reading.model_dump(mode="json")
        for section in (*values["data"]["train"].values(), *values["evaluation"]["suites"].values()):
            if "expect_rows" in section:
                section["expect_rows"] = None
            if source := section.get("source"):
                section["source"] = Source.of(source["kind"]).model_validate(source).unlocked().model_dump(mode="json")
        if self.data is not None:
            values["data"]["root"] = str(self.data.resolve())
        return RunConfig.model_validate(values), own

    def _out_of_reach(self, source: Source, own: bool) -> str:
        """Why rows of `source` are not read here; empty when they may be."""
        if not own and source.remote:
            return f"{source.remote} is read by a recipe of yours only (--recipe RECIPE)."
        if not own and source.below_root and self.data is None:
            return f"the data is not at hand (--data ROOT names the folder that holds {', '.join(source.below_root)})."
        return ""
