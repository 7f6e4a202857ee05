"""What the trainer would refuse is refused before a run begins, in the libraries' own words, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stsflow.tasks.ground.errors import PreconditionError, RecipeError
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.losses import Matryoshka, MultipleNegativesRanking
from stsflow.tasks.recipe.sections import TrainingConfig
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.trial import check_hardware, needs_trial, try_trainer

MakeRequest = Callable[..., TrainingRequest]

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a beta above one": ({"adam_beta1": 5.0}, "Invalid beta parameter at index 0: 5.0"),
    "workers below none": ({"dataloader_num_workers": -5}, "num_workers"),
    "a file that is no configuration": ({"accelerator_config": "/etc/passwd"}, "JSONDecodeError"),
    "an unknown argument of the schedule": ({"lr_scheduler_kwargs": {"nope": 1}}, "nope"),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_argument_with_an_impossible_value_is_refused(
    request_of: MakeRequest, workspace: Workspace, case: str
) -> None:
    arguments, words = IMPOSSIBLE[case]
    with pytest.raises(RecipeError) as caught:
        try_trainer(request_of(arguments=arguments), workspace)
    assert words in caught.value.message and "\n" not in caught.value.message
    assert caught.value.exit_code == 2
    assert not list((workspace.root / "probes").iterdir())


@pytest.mark.usefixtures("in_this_process")
def test_what_can_be_trained_passes(request_of: MakeRequest, workspace: Workspace) -> None:
    request = request_of(arguments={"adam_epsilon": 1e-7})
    assert needs_trial(request) and not needs_trial(request_of())
    try_trainer(request, workspace)


@pytest.mark.usefixtures("in_this_process")
def test_dimensions_beyond_the_models_are_refused(request_of: MakeRequest, workspace: Workspace) -> None:
    request = request_of()
    loss = Matryoshka(loss=MultipleNegativesRanking(), dimensions=(4096, 8))
    with pytest.raises(RecipeError, match="cannot exceed the model's embedding dimension of 32"):
        try_trainer(request.model_copy(update={"losses": {**request.losses, "nli": loss}}), workspace)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("section", "words"), [({"device": "cuda"}, "training.device is `cuda`"), ({"precision": "fp16"}, "needs a GPU")]
)
def test_a_device_that_is_not_there_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(PreconditionError, match=words):
        check_hardware(TrainingConfig.model_validate(section))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
