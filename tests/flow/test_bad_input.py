"""What is wrong beyond the data: one sentence, exit code 2, nothing begun. For the data, see tests/unit/reading."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from small_recipe import stsflow, write_small_recipe

from stsflow.flows.plan import plan_recipe
from stsflow.tasks.ground.errors import Refused
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.recipe.sections import RunConfig

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def recipe(tmp_path: Path, tiny_bert: Path) -> Path:
    return write_small_recipe(tmp_path / "small.yaml", tiny_bert)


def begun(workspace: Workspace) -> list[str]:
    """Files in the workspace that are no locks."""
    return [path.name for path in workspace.root.rglob("*") if path.is_file() and path.suffix != ".lock"]


def planned(recipe: Path, *overrides: str) -> str:
    """Plan the recipe; the sentence with which it is refused."""
    with pytest.raises(Refused) as caught:
        plan_recipe(RunConfig.from_recipe(recipe, overrides), probe=False)
    assert caught.value.exit_code == 2
    return caught.value.message


REFUSED = {
    "a loss that cannot learn": (
        "training.losses.nli={kind: cosine_similarity}",
        "training.losses.nli: the loss 'cosine_similarity' cannot learn from 'nli_triplets' (columns anchor, positive, "
        "negative); it needs one of: labelled_pairs, scored_pairs",
    ),
    "a metric that no suite produces": (
        "evaluation.choose_metric=spearman_cosin",
        "evaluation.choose_metric: the suite 'sts-dev' has no metric 'spearman_cosin'; it has: ",
    ),
    "a model beyond its positions": (
        "model.max_seq_length=4096",
        "model.max_seq_length is 4096, but example/tiny-bert (bert) takes at most ",
    ),
    "another model's weights": (
        f"model.weights_sha256={'a' * 64}",
        "these are other weights.",
    ),
    "a suite beyond the model's dimension": (
        "evaluation.suites.sts-dev={kind: matryoshka, dimensions: [16, 4096], split: dev, "
        "source: {kind: synthetic, task: sts, split: dev, rows: 60}}",
        "evaluation.suites.sts-dev.dimensions: found 4096; embeddings of example/tiny-bert have ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_sentence_and_nothing_begun(recipe: Path, workspace: Workspace, case: str) -> None:
    override, words = REFUSED[case]
    assert words in planned(recipe, override)
    assert begun(workspace) == []


@pytest.mark.parametrize("suite", ["sts-dev", "sts-test"])
def test_a_deciding_suite_without_a_defined_metric(
    recipe: Path, workspace: Workspace, tmp_path: Path, suite: str
) -> None:
    (tmp_path / "equal.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t3\nc\td\t3\n", "utf-8")
    source = f"{{kind: files, paths: [{tmp_path / 'equal.tsv'}]}}"
    message = planned(recipe, f"evaluation.suites.{suite}.source={source}")
    assert f"The metrics of {suite} are not defined: all 2 rows have the same gold score" in message
    assert not (workspace.root / "trainings").exists() and not workspace.runs.exists()


@pytest.mark.parametrize("content", ["nothing", "text", "config alone"])
def test_a_folder_that_is_no_model(
    recipe: Path, workspace: Workspace, tmp_path: Path, tiny_bert: Path, content: str
) -> None:
    folder = tmp_path / "not-a-model"
    if content != "nothing":
        folder.mkdir()
        (folder / "notes.txt").write_text("no model here", "utf-8")
    if content == "config alone":
        shutil.copy(tiny_bert / "config.json", folder)
    message = planned(recipe, f"model.source.path={folder}")
    assert str(folder) in message and "\n" not in message
    assert begun(workspace) == []


def test_a_disk_without_room(recipe: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40 - 2**16, 2**16))
    message = planned(recipe)
    assert message.startswith(
        f"The disk of {workspace.root} has 0.00 GiB free; 4 checkpoints (training.keep_checkpoints"
    )
    assert begun(workspace) == []


@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_command_line_says_it_once_and_ends_with_2(recipe: Path, tmp_path: Path, command: str) -> None:
    source = "{kind: files, paths: [train.tsv]}"
    (tmp_path / "train.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t7\n", "utf-8")
    workspace = tmp_path / ".stsflow"
    done = stsflow(workspace, command, str(recipe), "--set", f"data.train.sts.source={source}", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    sentence = "stsflow: train.tsv, line 2: the score of sts is 7, outside of 0 to 5 (shape.score_range)."
    assert done.stderr.count(sentence) == 1 and done.stderr.endswith(f"{sentence}\n")
    assert "Traceback" not in done.stderr
    assert not (workspace / "runs").exists() and not any((workspace / "prepared").glob("*"))


def test_an_embedded_server_that_cannot_start_is_refused_with_its_own_words(recipe: Path, tmp_path: Path) -> None:
    database = f"sqlite+aiosqlite:///{tmp_path}/nowhere/prefect.db"
    done = stsflow(tmp_path / ".stsflow", "run", str(recipe), PREFECT_SERVER_DATABASE_CONNECTION_URL=database)
    assert done.returncode == 2, done.stderr
    assert "the embedded Prefect server ended with exit code 3 before it answered" in done.stderr
    assert "unable to open database file" in done.stderr
    assert not Workspace(tmp_path / ".stsflow").runs.exists()
