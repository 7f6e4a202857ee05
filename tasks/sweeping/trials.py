"""The trials of one sweep, as Optuna's storage keeps them: which are left, what the next one tries, who is hopeless.

Everything here follows from the trials in the storage and from the seed: a sweep that was killed goes on as if it had
not been, as long as its trials run one after the other.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from stsflow.tasks.ground.fingerprint import fingerprint
from stsflow.tasks.ground.schema import LARGEST_SEED
from stsflow.tasks.records.sweeps import TrialOutcome
from stsflow.tasks.sweeping.settings import SweepConfig
from stsflow.tasks.sweeping.space import Choices, Range

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

MOST_RUNGS = 20
STATES: dict[str, Literal["complete", "pruned", "failed"]] = {
    "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed",
}  # fmt: skip


class Trials:
    """The trials of one sweep."""

    def __init__(self, storage: RDBStorage, name: str, config: SweepConfig) -> None:
        """Find the sweep `name`, or begin it."""
        import optuna

        self.name, self.config = name, config
        self.study: Study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )

    # --------------------------------------------------------------------------------------------- what is to be done

    def numbers(self) -> Iterator[int]:
        """Of the trials to run: those that a killed process had begun, then new ones until there are enough.

        A new one is drawn when it is asked for.
        """
        yield from [trial.number for trial in self._all() if not trial.state.is_finished()]
        while len(self._all()) < self.config.trials:
            yield self._draw()

    def settings(self, number: int) -> dict[str, JsonValue]:
        """What the trial tries."""
        return self.config.space.settings(self._all()[number].params)

    def _draw(self) -> int:
        """Draw the settings of a new trial and write it down, whole or not at all; its number.

        They are drawn in a copy of the sweep in memory, by a generator that its number seeds: Optuna writes them down
        one by one, and a generator of the whole sweep would be elsewhere after a restart.
        """
        import optuna

        done = self._all()
        with calm():
            copy = optuna.create_study(sampler=self._sampler(len(done)), direction="maximize")
            copy.add_trials(done)
            drawn = copy.ask(self._distributions())
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.RUNNING, params=drawn.params, distributions=drawn.distributions
                )
            )
        return len(done)

    def _sampler(self, number: int) -> BaseSampler:
        import optuna

        seed = int(fingerprint(self.config.seed, number)[:8], 16) % (LARGEST_SEED + 1)
        if self.config.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed)

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {key: _distribution(values) for key, values in self.config.space.fields.items()}

    # ------------------------------------------------------------------------------------------------ while they run

    def note(self, number: int, **facts: str) -> None:
        """Keep facts of a trial that is at work."""
        handle = self._handle(number)
        for name, value in facts.items():
            handle.set_user_attr(name, value)

    def fact(self, number: int, name: str) -> str | None:
        """What `note` kept of it."""
        value = self._all()[number].user_attrs.get(name)
        return None if value is None else str(value)

    def report(self, number: int, evaluation: int, score: float) -> None:
        """Write down the trial's score at its n-th evaluation, once."""
        if evaluation not in self._all()[number].intermediate_values:
            self._handle(number).report(score, evaluation)

    def is_hopeless(self, number: int, evaluation: int) -> bool:
        """Whether the trial is to be ended, judged by its reports up to this evaluation and by the other trials."""
        if self.config.pruner == "none":
            return False
        trials = self._all()
        own = trials[number]
        own.intermediate_values = {at: score for at, score in own.intermediate_values.items() if at <= evaluation}
        if self.config.pruner == "halving":
            return _is_of_the_worse_half(own, trials, evaluation)
        from optuna.pruners import MedianPruner

        return bool(MedianPruner().prune(self.study, own))

    def finish(self, number: int, state: Literal["complete", "pruned", "failed"], score: float | None) -> TrialOutcome:
        """Write down how the trial ended."""
        from optuna.trial import TrialState

        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        self.study.tell(number, score if state == "complete" else None, state=told)
        return self.outcome(self._all()[number])

    # ------------------------------------------------------------------------------------------------------ afterwards

    def outcomes(self) -> list[TrialOutcome]:
        """Of every trial that has ended, by number."""
        return [self.outcome(trial) for trial in self._all() if trial.state.is_finished()]

    def outcome(self, trial: FrozenTrial) -> TrialOutcome:
        """How the trial ended."""
        facts = trial.user_attrs
        return TrialOutcome(
            number=trial.number, state=STATES[trial.state.name], settings=self.config.space.settings(trial.params),
            score=trial.value, reason=facts.get("reason", ""), training=facts.get("training", ""),
            mlflow_run_id=facts.get("mlflow_run_id", ""),
        )  # fmt: skip

    def ranked(self) -> list[TrialOutcome]:
        """The trials that ran to their end, the best first; of equals the earlier one."""
        whole = [outcome for outcome in self.outcomes() if outcome.state == "complete"]
        return sorted(whole, key=lambda outcome: (-(outcome.score or 0.0), outcome.number))

    def importances(self) -> dict[str, float]:
        """How much each field says of the score (PED-ANOVA), adding up to 1; empty where too few trials tell."""
        import optuna

        try:
            with calm():
                found = optuna.importance.get_param_importances(self.study)
        except (ValueError, RuntimeError) as error:
            logger.debug("no importances: %s", error)
            return {}
        return {key: float(share) for key, share in found.items()}

    def recall(self, key: str) -> Any:
        """What was kept of the whole sweep under `key`; None where nothing was."""
        return self.study.user_attrs.get(key)

    def keep(self, key: str, value: JsonValue) -> None:
        """Keep a fact of the whole sweep."""
        self.study.set_user_attr(key, value)

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials()

    def _handle(self, number: int) -> Any:
        from optuna.trial import Trial

        return Trial(self.study, self._all()[number]._trial_id)


def _distribution(values: Range | Choices) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, Choices):
        return CategoricalDistribution(tuple(values.by_label))
    if values.is_whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=int(values.step or 1))
    return FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _is_of_the_worse_half(own: FrozenTrial, trials: list[FrozenTrial], evaluation: int) -> bool:
    """Successive halving without waiting (ASHA, arXiv 1810.05934) with a reduction factor of two.

    Optuna's pruner keeps the rungs in the storage as it judges; a trial that is judged a second time, after a kill,
    would count there twice.
    """
    if evaluation not in {2**rung for rung in range(MOST_RUNGS)} or evaluation not in own.intermediate_values:
        return False
    score = own.intermediate_values[evaluation]
    others = [
        trial.intermediate_values[evaluation]
        for trial in trials
        if trial.number != own.number and evaluation in trial.intermediate_values
    ]
    return sum(other > score for other in others) >= max(1, (len(others) + 1) // 2)


@contextmanager
def calm() -> Iterator[None]:
    """Without Optuna's warnings of what is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
