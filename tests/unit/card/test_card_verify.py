"""verify-card finds every change, and nothing where there is none.

The evaluator here is a stand-in with one real property: what it measures depends on the bytes of the weights and of
the rows. The real one is tried in test_card_verify_measured.py.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.card.render import write_card
from tasks.card.verify import VerifyResult, verify_card
from tasks.errors import PreconditionError
from tasks.fingerprint import sha256_of_file, sha256_of_model
from tasks.records import BaseModelRef, EvaluationReport, PreparedSet
from tasks.workspace import Workspace


class Finished:
    """A finished run on disk, with its card, and what verification may borrow."""

    def __init__(self, records: Any, root: Path) -> None:
        self.records, self.root = records, root

    @property
    def model(self) -> Path:
        return self.here(self.records.run.folder / "model")

    @property
    def card(self) -> Path:
        return self.here(self.records.run.folder / "card")

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def training_result(self) -> Path:
        return self.workspace.training(self.records.trained.fingerprint).result

    def here(self, path: Path) -> Path:
        """`path` of the workspace in which the run was made, in the copy that a test may spoil."""
        return self.root / path.relative_to(self.records.run.folder.parents[1])

    def copied(self, root: Path) -> Finished:
        """The whole workspace once more: facts.json knows its paths relative to the workspace."""
        shutil.copytree(self.root, root)
        return Finished(self.records, root)

    def evaluate(self, name: str, path: Path, digest: str, *rest: Any, **options: Any) -> EvaluationReport:
        """The fixture's report, moved by what the bytes of weights and rows say."""
        data = rest[1]
        assert set(options) <= {"base"}
        report = self.records.tuned_scores if name == "tuned" else self.records.base_scores
        weights, moved = (path / "model.safetensors").read_bytes(), {}
        for suite, scores in report.suites.items():
            prepared = data.evaluation_set(suite)
            content = hashlib.sha256(weights + (prepared.path / "data.arrow").read_bytes()).digest()
            metrics = {name: 0.5 + content[0] / 10_000 + index / 100 for index, name in enumerate(scores.metrics)}
            moved[suite] = scores.model_copy(update={"metrics": metrics, "data_digest": prepared.digest})
        return report.model_copy(update={"suites": moved, "model_digest": digest})

    def verify(self, folder: Path | None = None) -> VerifyResult:
        """Verification of the model folder, with everything it can borrow."""
        return verify_card(
            folder or self.model, self.workspace, evaluate=self.evaluate, digest_rows=digest_rows,
            find_base=self.find_base,
        )  # fmt: skip

    def find_base(self, stated: BaseModelRef, source: object) -> BaseModelRef | None:
        """The base of this run, while it is there."""
        del source
        folder = self.here(self.records.base.path)
        return stated.model_copy(update={"path": folder}) if folder.is_dir() else None

    def places(self) -> list[str]:
        """Where verification finds problems."""
        return [problem.place for problem in self.verify().problems]


def finish(records: Any) -> Finished:
    """Put weights, rows and the trainer's record of a run on disk, measure, and write the card."""
    root = records.run.folder.parents[1]
    model = records.run.folder / "model"
    base = root / "base"
    for name, folder in (("weights of the base", base), ("tuned weights", model)):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(name.encode() * 50)
    evaluation = []
    for item in records.data.evaluation:
        file = root / "downloads" / f"{item.name}.tsv"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"rows of {item.name}\n" * 20)
        item.path.mkdir(parents=True)
        (item.path / "data.arrow").write_text(f"rows of {item.name}")
        kept = item.source.files[0].model_copy(update={"path": file, "sha256": sha256_of_file(file)})
        source = item.source.model_copy(update={"files": (kept,)})
        evaluation.append(item.model_copy(update={"source": source, "digest": digest_rows(item)}))
    data = records.data.model_copy(update={"evaluation": tuple(evaluation)})
    digests = {"model_digest": sha256_of_model(model), "weights_sha256": sha256_of_file(model / "model.safetensors")}
    trained = records.trained.model_copy(update=digests)
    made = Finished(records.but(data=data, trained=trained, base=records.base.model_copy(update={"path": base})), root)
    made.records = made.records.but(
        tuned_scores=made.evaluate("tuned", model, trained.model_digest, {}, data),
        base_scores=made.evaluate("base", base, "ba" * 32, {}, data),
    )
    trained.write(made.training_result)
    write_card(made.records.content(), made.card, made.model)
    return made


def digest_rows(item: PreparedSet) -> str:
    return sha256_of_file(item.path / "data.arrow")


@pytest.fixture(scope="module")
def finished_once(make_records: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(make_records(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def finished(finished_once: Finished, tmp_path: Path) -> Finished:
    return finished_once.copied(tmp_path / "copy")


def change(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def test_an_untouched_card_holds_wherever_it_is_asked_for(finished: Finished) -> None:
    for folder in (finished.model, finished.card, finished.card.parent):
        result = finished.verify(folder)
        assert (result.holds, result.problems, result.kind) == (True, (), "stsflow")
        assert result.compared > 80


def test_one_digit_changed_in_the_card_is_named_with_its_line(finished: Finished) -> None:
    card = finished.model / "README.md"
    lines = card.read_text(encoding="utf-8").split("\n")
    number = next(index for index, line in enumerate(lines) if line.startswith("| KorNLI | 4,998 | 95 |"))
    lines[number] = lines[number].replace("| 95 |", "| 96 |")
    card.write_text("\n".join(lines), encoding="utf-8")
    (problem,) = finished.verify().problems
    assert problem.place == f"README.md, line {number + 1}"
    assert problem.message.startswith("The line does not say exposure.kornli.unique_rows_seen = 95: ")


def test_the_copy_beside_the_weights_is_looked_at_too(finished: Finished) -> None:
    change(finished.model / "README.md", "| KorNLI | 4,998 | 95 |", "| KorNLI | 4,998 | 59 |")
    (problem,) = finished.verify(finished.card.parent).problems
    assert problem.place.startswith("model/README.md, line ")


def test_one_digit_changed_in_the_header_is_named(finished: Finished) -> None:
    change(finished.model / "README.md", "- dataset_size:10747", "- dataset_size:10748")
    (problem,) = finished.verify().problems
    assert "The line was changed: '- dataset_size:10748'" in problem.message


@pytest.mark.parametrize("old", ["dict", "0."])
def test_added_and_removed_lines_are_named(finished: Finished, old: str) -> None:
    card = finished.model / "README.md"
    lines = card.read_text(encoding="utf-8").split("\n")
    changed = [*lines[:-1], "An added claim.", ""] if old == "dict" else lines[:-3] + lines[-2:]
    card.write_text("\n".join(changed), encoding="utf-8")
    messages = " ".join(problem.message for problem in finished.verify().problems)
    assert ("1 lines were added: 'An added claim.'" in messages) or ("of the card are gone" in messages)


def test_a_digit_changed_in_the_facts_alone_is_found(finished: Finished) -> None:
    change(finished.model / "facts.json", '"text": "4,998"', '"text": "4,999"')
    assert any("facts.json" in problem.message for problem in finished.verify().problems)


def test_card_and_facts_changed_together_are_found_by_measuring(finished: Finished) -> None:
    """A forger rewrites the score consistently: card, facts and all digests of lines."""
    suites = {
        name: scores.model_copy(update={"metrics": {metric: value + 0.01 for metric, value in scores.metrics.items()}})
        for name, scores in finished.records.tuned_scores.suites.items()
    }
    forged = finished.records.but(tuned_scores=finished.records.tuned_scores.model_copy(update={"suites": suites}))
    write_card(forged.content(), finished.card, finished.model)
    assert "tuned.sts-test.spearman_cosine" in finished.places()


def test_one_byte_of_the_weights_is_found(finished: Finished) -> None:
    weights = finished.model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[7] ^= 1
    weights.write_bytes(bytes(content))
    places = finished.places()
    assert {"model.weights_sha256", "model.digest", "tuned.sts-test.spearman_cosine"} <= set(places)


def test_weights_changed_together_with_their_digest_are_found(finished: Finished) -> None:
    """Even when the workspace no longer has the training, the scores tell."""
    old_weights, old_digest = sha256_of_file(finished.model / "model.safetensors"), sha256_of_model(finished.model)
    (finished.model / "model.safetensors").write_bytes(b"other weights" * 50)
    new_weights, new_digest = sha256_of_file(finished.model / "model.safetensors"), sha256_of_model(finished.model)
    for path in (finished.model / "README.md", finished.model / "facts.json"):
        change(path, old_weights, new_weights, -1)
        change(path, old_digest, new_digest, -1)
    facts = json.loads((finished.model / "facts.json").read_text(encoding="utf-8"))
    text = (finished.model / "README.md").read_text(encoding="utf-8")
    facts["card_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    facts["lines"] = [hashlib.sha256(line.encode()).hexdigest()[:12] for line in text.split("\n")]
    (finished.model / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    with_training = finished.places()
    assert {"model.weights_sha256", "model.digest"} <= set(with_training)  # the trainer's own record disagrees
    finished.training_result.unlink()
    places = finished.places()
    assert "tuned.sts-test.spearman_cosine" in places
    assert "model.weights_sha256" not in places


def test_one_row_of_the_evaluation_file_is_found(finished: Finished) -> None:
    change(finished.root / "downloads" / "sts-test.tsv", "rows", "Rows")
    (problem,) = finished.verify().problems
    assert problem.place == "suite sts-test"
    assert "is not the one that was measured on" in problem.message


def test_one_prepared_row_is_found(finished: Finished) -> None:
    (finished.here(finished.records.data.evaluation[0].path) / "data.arrow").write_text("other rows")
    assert {"suite.sts-dev.data_digest", "tuned.sts-dev.spearman_cosine"} <= set(finished.places())


def test_rows_that_are_gone_are_read_again_from_the_recipe(finished: Finished) -> None:
    folders = [finished.here(item.path) for item in finished.records.data.evaluation]
    for folder in folders:
        folder.rename(folder.with_name(f"{folder.name}-gone"))
    without = verify_card(finished.model, finished.workspace, evaluate=finished.evaluate, digest_rows=digest_rows)
    assert [problem.place for problem in without.problems] == ["evaluation data"]
    moved = tuple(
        item.model_copy(update={"path": finished.here(item.path.with_name(f"{item.path.name}-gone"))})
        for item in finished.records.data.evaluation
    )
    data = finished.records.data.model_copy(update={"evaluation": moved})
    again = verify_card(finished.model, finished.workspace, evaluate=finished.evaluate, prepare=lambda _recipe: data)
    assert again.holds


def test_a_changed_figure_and_a_missing_one_are_found(finished: Finished) -> None:
    (finished.model / "figures" / "base-vs-tuned.png").write_bytes(b"another picture")
    (finished.model / "figures" / "training-curve.png").unlink()
    assert finished.places() == ["figures/base-vs-tuned.png", "figures/training-curve.png"]


def test_what_cannot_be_looked_at_is_a_note(finished: Finished) -> None:
    shutil.rmtree(finished.here(finished.records.base.path))
    finished.training_result.unlink()
    result = finished.verify()
    assert result.holds
    assert any("is not at hand with the digest" in note for note in result.notes)
    assert any("training's own record" in note for note in result.notes)


def test_small_noise_of_another_machine_is_no_problem(finished: Finished) -> None:
    def noisy(*arguments: Any, **keywords: Any) -> EvaluationReport:
        report = finished.evaluate(*arguments, **keywords)
        suites = {
            name: scores.model_copy(update={"metrics": {key: value + 4e-4 for key, value in scores.metrics.items()}})
            for name, scores in report.suites.items()
        }
        return report.model_copy(update={"suites": suites})

    assert verify_card(finished.model, finished.workspace, evaluate=noisy).holds
    assert not verify_card(finished.model, finished.workspace, evaluate=noisy, tolerance=1e-5).holds


def test_facts_that_cannot_be_read_are_one_problem(finished: Finished) -> None:
    (finished.model / "facts.json").write_text("{}")
    (problem,) = finished.verify().problems
    assert problem.place == "facts.json"


@pytest.mark.parametrize("name", ["1_Pooling/figures/weights.bin", "1_Pooling/README.md", "nested/facts.json"])
def test_a_file_added_deeper_under_the_name_of_a_card_file_is_found(finished: Finished, name: str) -> None:
    (finished.model / name).parent.mkdir(parents=True)
    (finished.model / name).write_text("added")
    assert "model.digest" in finished.places()


@pytest.mark.parametrize("name", ["model.safetensors", "figures", "1_Pooling"])
def test_a_link_out_of_the_folder_is_refused(finished: Finished, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = finished.model / name
    if place.exists():
        place.rename(outside / name)
    else:
        (outside / name).mkdir()
    place.symlink_to(outside / name)
    (problem,) = finished.verify().problems
    assert problem.place == str(place)
    assert "link out of its folder" in problem.message


def test_a_folder_without_model_or_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="holds neither a model nor a card"):
        verify_card(tmp_path, Workspace(tmp_path), evaluate=None)
