"""Where trainers of trials run: on the nodes of a real Ray cluster as here, watched and ended as here."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from patience import patience
from ray_nodes import two_nodes
from small_recipe import write_small_recipe

from stsflow.tasks.ground.errors import PreconditionError, TrainerHung, TrainingFailed
from stsflow.tasks.ground.workspace import TrainingFolder, Workspace
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.sweeping.places import Place, Ray, Threads
from stsflow.tasks.sweeping.places.on_node import versions_of_the_trainer, what_is_wrong
from stsflow.tasks.sweeping.trial import ask_of_trainer
from stsflow.tasks.training.events import EventReader, read_events
from stsflow.tasks.training.request import TrainingRequest
from stsflow.tasks.training.run import train_in_child
from stsflow.tasks.training.watch import Watch

SETTINGS = ("training.max_steps=8", "training.eval_steps=2", "training.checkpoint_steps=2", "training.threads=1")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_nodes() as found:
        yield found


@pytest.fixture(scope="module")
def request_here(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> TrainingRequest:
    """Eight steps of the small recipe."""
    place = tmp_path_factory.mktemp("request")
    recipe = RunConfig.from_recipe(write_small_recipe(place / "small.yaml", tiny_bert), SETTINGS)
    return ask_of_trainer(recipe, Workspace(place / "workspace").make())


@pytest.fixture(scope="module")
def digest_here(request_here: TrainingRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the model that a trainer makes on this machine, undisturbed."""
    folder = TrainingFolder(tmp_path_factory.mktemp("here"))
    return train_in_child(request_here, folder, start=Threads().train).model_digest


def changed(request: TrainingRequest, **training: object) -> TrainingRequest:
    return request.model_copy(update={"training": request.training.model_copy(update=training)})


def trainers(folder: TrainingFolder) -> list[psutil.Process]:
    """Processes that train in the folder, whoever started them."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder.spec) in (process.info["cmdline"] or ()) and process.status() != psutil.STATUS_ZOMBIE
    ]


def steps(folder: TrainingFolder) -> int:
    return max((event.step or 0 for event in read_events(folder.events)), default=0)


def test_a_trial_that_waits_for_a_node_is_not_held_for_hung(tmp_path: Path) -> None:
    watch = Watch(EventReader(tmp_path / "events.jsonl"), lambda _: None, lambda: None)
    watch.begin(1.0, 1.0)
    time.sleep(1.1)  # longer than silence is allowed, which on a busy machine must not pass between two lines below
    assert watch.wait() is None and watch.tick() is None
    time.sleep(1.1)
    assert "no event for" in str(watch.tick())


def test_a_node_says_what_keeps_it_from_a_trial(tmp_path: Path) -> None:
    file = tmp_path / "told.txt"
    assert "a workspace that every node has under the same path" in what_is_wrong(str(file), "told", {})
    file.write_text("of another machine", "utf-8")
    assert f"does not see {file} as it is here" in what_is_wrong(str(file), "told", {})
    file.write_text("told", "utf-8")
    here = versions_of_the_trainer()
    assert what_is_wrong(str(file), "told", here) == ""
    assert f"torch {here['torch']}, not 1.0" in what_is_wrong(str(file), "told", here | {"torch": "1.0"})
    assert "peft-of-mine (none), not 1" in what_is_wrong(str(file), "told", {"peft-of-mine": "1"})
    assert not here.keys() & {"prefect", "mlflow"}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Ray(address="ray://head:10001"), "--ray-address ray://head:10001: allowed is HOST:PORT"),
        (Ray(address="local"), "--ray-address local: allowed is HOST:PORT"),
        (Ray(gpus=1.5), "--trial-gpus 1.5: allowed are a part of one GPU, or whole ones"),
    ],
)
def test_a_cluster_that_cannot_be_asked_for_is_refused(workspace: Workspace, place: Place, words: str) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'stsflow[ray]'")
    with pytest.raises(PreconditionError) as caught:
        place.check(workspace.make())
    assert words in caught.value.message


@pytest.mark.slow
def test_where_nobody_answers_is_said_soon(workspace: Workspace) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'stsflow[ray]'")
    began = time.monotonic()
    with pytest.raises(PreconditionError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        Ray(address="127.0.0.1:9").check(workspace.make())
    assert time.monotonic() - began < patience(60)  # `ray.init` would take five minutes, and end the process then


@pytest.mark.slow
def test_a_cluster_is_asked_for_room_and_for_the_workspace(
    workspace: Workspace, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = tmp_path / "current" / "stsflow"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise SystemExit('what lies in the current folder was loaded')", "utf-8")
    monkeypatch.chdir(shadow.parent)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    Ray(address=address).check(workspace.make())
    Ray(address=address, cpus=0.5, gpus=0.5).check(workspace)
    assert signal.getsignal(signal.SIGTERM) is on_sigterm
    assert not list(workspace.root.iterdir())
    for place in (Ray(address=address, cpus=2), Ray(address=address, gpus=2)):
        with pytest.raises(PreconditionError, match=r"no node of the Ray cluster has .*there are: 1 and 0; 1 and 1"):
            place.check(workspace)


@pytest.mark.slow
def test_a_training_on_a_node_is_the_training_here(
    address: str, request_here: TrainingRequest, digest_here: str, tmp_path: Path
) -> None:
    folder, heard = TrainingFolder(tmp_path), []
    found = train_in_child(request_here, folder, start=Ray(address=address).train, on_event=heard.extend)
    assert found.model_digest == digest_here
    assert heard == read_events(folder.events)


@pytest.mark.slow
def test_a_training_whose_parent_on_the_node_is_gone_goes_on_by_itself(
    address: str, request_here: TrainingRequest, digest_here: str, tmp_path: Path
) -> None:
    folder, killed = TrainingFolder(tmp_path), []

    def kill_the_parent() -> None:
        if not killed and steps(folder) >= 4 and (found := trainers(folder)):
            killed.extend(found)
            os.kill(found[0].ppid(), signal.SIGKILL)

    found = train_in_child(request_here, folder, start=Ray(address=address).train, should_stop=kill_the_parent)
    assert found.model_digest == digest_here
    said = [event.text for event in read_events(folder.events) if event.kind == "finding"]
    assert any("The trainer was lost with its parent on another host" in text for text in said), said
    _, alive = psutil.wait_procs(killed, timeout=patience(15))
    assert killed and not alive


@pytest.mark.slow
@pytest.mark.parametrize(
    ("training", "stop", "kind", "words"),
    [
        ({}, lambda: "the run was cancelled", TrainingFailed, "The trainer was stopped: the run was cancelled."),
        ({"hang_timeout_seconds": 1.0}, lambda: None, TrainerHung, "The trainer was stopped: no event for 1 seconds"),
    ],
    ids=["cancelled", "hung"],
)
def test_a_stop_ends_the_trainer_on_its_node(
    address: str, request_here: TrainingRequest, tmp_path: Path, training: dict[str, object],
    stop: Callable[[], str | None], kind: type[Exception], words: str,
) -> None:  # fmt: skip
    folder = TrainingFolder(tmp_path)
    begun: list[psutil.Process] = []

    def stop_once_it_is_there() -> str | None:
        begun.extend(() if begun else trainers(folder))
        return stop() if begun else None

    with pytest.raises(kind) as caught:
        train_in_child(
            changed(request_here, **training), folder, start=Ray(address=address).train,
            should_stop=stop_once_it_is_there,
        )  # fmt: skip
    assert words in str(caught.value)
    assert begun and not trainers(folder)


@pytest.mark.slow
def test_what_the_watch_raises_ends_the_trainer_on_its_node_first(
    address: str, request_here: TrainingRequest, tmp_path: Path
) -> None:
    folder = TrainingFolder(tmp_path)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_in_child(request_here, folder, start=Ray(address=address).train, on_event=interrupt)
    assert not folder.result.exists() and not trainers(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("gpus", "sees"), [(0.5, "0"), (0, "")])
def test_a_trial_sees_its_gpu_which_two_may_share_and_no_other(
    address: str, request_here: TrainingRequest, tmp_path: Path, gpus: float, sees: str
) -> None:
    """As far as Ray counts: the second node has none in truth, and the trainers are told which one is theirs."""
    folders = [TrainingFolder(tmp_path / name) for name in ("first", "second")]
    seen: dict[Path, str | None] = {}
    both = threading.Event()

    def train(folder: TrainingFolder) -> None:
        def look() -> str | None:
            for process in trainers(folder):
                seen[folder.root] = process.environ().get("CUDA_VISIBLE_DEVICES")
            if len(seen) == 2:
                both.set()
            return "both are there" if both.is_set() else None

        with pytest.raises(TrainingFailed, match="both are there"):
            train_in_child(
                changed(request_here, max_steps=10_000, epochs=1_000.0), folder,
                start=Ray(address=address, cpus=0.5, gpus=gpus).train, should_stop=look,
            )  # fmt: skip

    threads = [threading.Thread(target=train, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=patience(300))
    assert list(seen.values()) == [sees, sees]
