"""Whatever stands in the files of a card, its model and its run: a verdict or a sentence, and never "holds" by luck."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_card import Finished, finish
from strange_files import FIXED, Reader, files_below, read_with, try_strange_files

from stsflow.tasks.ground.workspace import RunFolder


@pytest.fixture(scope="module")
def reader(make_records: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """verify-card on the model of a finished run, with the run's record beside it."""
    finished = finish(make_records(tmp_path_factory.mktemp("finished")))
    files = dict(files_below(finished.root))
    name = finished.run.root.relative_to(finished.root).as_posix()
    # facts.json may be written in another way and say the same.
    told = {path for path in files if path.startswith(f"{name}/model/") and not path.endswith("facts.json")}

    def read(folder: Path) -> object:
        here = Finished(finished.records, folder)
        changed = [path for path in told if (folder / path).read_bytes() != files[path]]
        result = here.verify(RunFolder(folder / name).model)
        silent = result.outcome == "holds" and not result.added
        assert not (changed and silent), f"{changed} changed, and the card holds"
        return result

    return Reader({path: content for path, content in files.items() if path.startswith(f"{name}/")}, read)


def test_strange_files_of_a_card_are_a_verdict_or_a_sentence(reader: Reader, tmp_path: Path) -> None:
    try_strange_files(reader, tmp_path / "here", cases=20)


@pytest.mark.slow
def test_many_strange_files_of_a_card(reader: Reader, tmp_path: Path) -> None:
    try_strange_files(reader, tmp_path / "here", cases=200)


@pytest.mark.parametrize(
    "file", ["model/facts.json", "model/README.md", "model/config.json", "model/model.safetensors"]
)
def test_what_troubled_a_reader_once_is_no_card_that_holds(reader: Reader, tmp_path: Path, file: str) -> None:
    (name,) = (name for name in reader.files if name.endswith(f"/{file}"))
    for content in FIXED:
        read_with(reader, tmp_path / "here", name, content)
