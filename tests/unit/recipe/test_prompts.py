"""Which prompt goes before which text: by name and side, from the recipe or from the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.data_collator import BaseDataCollator

from stsflow.tasks.ground.errors import RecipeError
from stsflow.tasks.models.folder import ModelFolder
from stsflow.tasks.models.known_prompts import trained_with
from stsflow.tasks.recipe.prompts import column_prompts, prompts_in_run, prompts_of_set
from stsflow.tasks.recipe.reading import load_recipe
from stsflow.tasks.recipe.sections import RunConfig
from stsflow.tasks.records.models import BaseModelRef
from stsflow.tasks.records.prompts import ColumnPrompts, Prompts

SOURCE = {"kind": "files", "paths": ["x.tsv"]}
SHAPES = {"nli": "nli_triplets", "qa": "pairs", "mined": "triplets", "sts": "scored_pairs"}
E5 = Prompts(texts={"query": "query: ", "document": "passage: "}, default="query")


def recipe_of(**prompts: Any) -> RunConfig:
    """Training sets of four shapes and a suite of each kind that has rows."""
    return RunConfig.model_validate(
        {
            "name": "toy",
            "data": {"train": {name: {"source": SOURCE, "shape": {"kind": kind}} for name, kind in SHAPES.items()}},
            "model": {"source": {"kind": "directory", "path": "."}},
            "prompts": prompts,
            "evaluation": {
                "suites": {
                    "dev": {"kind": "sts", "source": SOURCE, "split": "dev"},
                    "sizes": {"kind": "matryoshka", "source": SOURCE, "dimensions": [8]},
                    "search": {"kind": "retrieval", "source": SOURCE},
                    "near": {"kind": "triplets", "source": SOURCE},
                    "near-nli": {"kind": "triplets", "source": SOURCE, "shape": {"kind": "nli_triplets"}},
                }
            },
        }
    )


def model_of(prompts: Prompts) -> BaseModelRef:
    return BaseModelRef(
        name="toy", kind="directory", path=Path(), revision="0", digest="0", weights_sha256="0", architecture="bert",
        parameters=0, dimension=32, position_limit=512, max_seq_length=64, pooling="keep", prompts=prompts,
    )  # fmt: skip


def read_by(own: Prompts, **said: Any) -> ColumnPrompts:
    """The prompts of all columns, for a base with its `own` prompts under a recipe that has `said` something."""
    recipe = recipe_of(**said)
    return column_prompts(recipe, model_of(prompts_in_run(recipe.prompts, own)))


def test_anchors_are_queries_and_the_others_documents_where_the_texts_of_a_row_are_not_all_alike() -> None:
    found = read_by(E5)
    assert found.training == {
        "nli": {"anchor": "query: ", "positive": "query: ", "negative": "query: "},
        "qa": {"anchor": "query: ", "positive": "passage: "},
        "mined": {"anchor": "query: ", "positive": "passage: ", "negative": "passage: "},
        "sts": {"sentence1": "query: ", "sentence2": "query: "},
    }
    pair = {"sentence1": "query: ", "sentence2": "query: "}
    assert found.evaluation == {
        "dev": pair, "sizes": pair, "search": {"sentence1": "query: ", "sentence2": "passage: "},
        "near": {"anchor": "query: ", "positive": "passage: ", "negative": "passage: "},
        "near-nli": {"anchor": "query: ", "positive": "query: ", "negative": "query: "},
    }  # fmt: skip


def test_what_the_recipe_says_takes_the_place_of_the_models_own() -> None:
    found = read_by(E5, query="Q: ")
    assert found.training["qa"] == {"anchor": "Q: ", "positive": "passage: "}
    assert found.training["sts"] == {"sentence1": "Q: ", "sentence2": "Q: "}
    assert read_by(E5, query="", document="") == ColumnPrompts() == read_by(Prompts())
    assert read_by(Prompts(), document="D: ").training == {
        "qa": {"positive": "D: "}, "mined": {"positive": "D: ", "negative": "D: "},
    }  # fmt: skip


def test_texts_that_are_alike_have_the_default_prompt_of_a_model_that_has_one_until_the_recipe_says_query() -> None:
    own = Prompts(texts={"query": "Q: ", "document": "", "STS": "same? "}, default="STS")
    assert read_by(own).training["sts"] == {"sentence1": "same? ", "sentence2": "same? "}
    assert read_by(own).training["qa"] == {"anchor": "Q: "}
    assert read_by(own, document="D: ").training["sts"] == {"sentence1": "same? ", "sentence2": "same? "}
    assert read_by(own, query="Ask: ").training["sts"] == {"sentence1": "Ask: ", "sentence2": "Ask: "}
    assert "sts" not in read_by(own, query="").training


def test_columns_and_suites_may_name_other_prompts_or_none() -> None:
    own = Prompts(texts=E5.texts | {"STS": "same? "}, default="query")
    found = read_by(
        own, named={"topic": "about: "}, columns={"mined": {"negative": "", "positive": "topic"}},
        suites={"dev": {"query": "STS"}, "search": {"document": ""}},
    )  # fmt: skip
    assert found.training["mined"] == {"anchor": "query: ", "positive": "about: "}
    assert found.evaluation["dev"] == {"sentence1": "same? ", "sentence2": "same? "}
    assert found.evaluation["search"] == {"sentence1": "query: "}


def test_another_model_reads_a_set_behind_its_own_prompts_under_the_recipes_names() -> None:
    recipe = recipe_of(query="Q: ", named={"topic": "about: "}, columns={"qa": {"positive": "topic"}})
    assert prompts_of_set(recipe, "qa", model_of(E5)) == {"anchor": "query: ", "positive": "passage: "}
    teacher = Prompts(texts=E5.texts | {"topic": "subject: "}, default="query")
    assert prompts_of_set(recipe, "qa", model_of(teacher)) == {"anchor": "query: ", "positive": "subject: "}


@pytest.mark.parametrize("given", [{}, {"query": "Q: "}, {"columns": {"nli": {"anchor": ""}, "qa": {"anchor": ""}}}])
def test_the_trainer_gives_each_column_that_prompt(given: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformerTrainingArguments

    found = read_by(E5, **given).training
    seen: dict[str, dict[str, str]] = {name: {} for name in found}
    arguments = SentenceTransformerTrainingArguments(output_dir=str(tmp_path), prompts=found, report_to="none")
    for name in found:

        def preprocess(texts: list[str], prompt: str | None = None, name: str = name, **_: Any) -> dict[str, Any]:
            if prompt:
                seen[name][texts[0]] = prompt
            return {}

        collate = BaseDataCollator(preprocess, prompts=arguments.prompts)
        collate([{"dataset_name": name} | {column: column for column in recipe_of().roles_of(name).texts}])
    assert seen == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"columns": {"nil": {"anchor": ""}}},
            r"prompts\.columns\.nil: there is no training set 'nil'; there is: nli,",
        ),
        ({"columns": {"sts": {"score": ""}}}, r"prompts\.columns\.sts\.score: .* there is: sentence1, sentence2"),
        ({"suites": {"test": {"query": ""}}}, r"prompts\.suites\.test: there is no suite 'test'; there is: dev, sizes"),
        ({"suites": {"dev": {"document": "query"}}}, r"prompts\.suites\.dev\.document: .* take one prompt"),
        ({"named": {"query": "q"}}, r"prompts\.named\.query: .* use prompts\.query"),
    ],
)
def test_a_prompt_that_no_text_would_get_is_refused(given: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe_of(**given)


def test_a_name_that_neither_recipe_nor_model_has_is_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"prompts\.columns\.qa\.anchor: there is no prompt 'STS'; there is: query, doc"
    ):
        read_by(E5, columns={"qa": {"anchor": "STS"}})
    with pytest.raises(RecipeError, match=r"prompts\.suites\.dev\.query: there is no prompt 'STS'"):
        read_by(E5, suites={"dev": {"query": "STS"}})


OLD = {
    "training: {arguments: {prompts: {anchor: 'query: '}}}": r"training\.arguments\.prompts: .* use prompts, at",
    "evaluation: {suites: {s: {kind: retrieval, query_prompt: q, source: {kind: files, paths: [x.tsv]}}}}": (
        r"evaluation\.suites\.s\.query_prompt: prompts are said once for everything.*`prompts\.suites`"
    ),
}


@pytest.mark.parametrize(("line", "said"), OLD.items())
def test_the_earlier_ways_are_refused_with_a_sentence_that_points_to_the_one(
    line: str, said: str, tmp_path: Path
) -> None:
    suites = "evaluation: {suites: {s: {kind: sts, source: {kind: files, paths: [x.tsv]}}}}"
    recipe = tmp_path / "old.yaml"
    recipe.write_text(
        "name: old\nmodel: {source: {kind: directory, path: .}}\n"
        "data: {train: {qa: {source: {kind: files, paths: [x.tsv]}, shape: {kind: pairs}}}}\n"
        f"{line}\n{suites if 'suites' not in line else ''}\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError, match=said):
        load_recipe(RunConfig, recipe, ())


CONFIGS: list[dict[str, Any]] = [
    {},
    {"prompts": {"query": "Q: ", "document": "D: "}},
    {"prompts": {"instruction": "I: "}, "default_prompt_name": "instruction"},
    {"prompts": {"query": "Q: ", "document": "", "instruction": "I: "}, "default_prompt_name": "instruction"},
    {"prompts": {"query": None, "document": "D: "}},
]


@pytest.mark.parametrize("said", CONFIGS, ids=json.dumps)
def test_a_folders_own_prompts_are_those_that_the_library_finds_in_it(
    said: Any, tiny_bert: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    file = folder / "config_sentence_transformers.json"
    config = {key: value for key, value in json.loads(file.read_text()).items() if "prompt" not in key}
    file.write_text(json.dumps(config | said), encoding="utf-8")
    library, own = SentenceTransformer(str(folder), device="cpu"), ModelFolder.open(folder).own_prompts()
    assert own.texts == library.prompts
    assert own.default == (library.default_prompt_name or ("query" if library.prompts["query"] else None))


def test_an_older_model_that_names_passages_reads_documents_behind_that(tiny_bert: Path, tmp_path: Path) -> None:
    library = SentenceTransformer(str(tiny_bert), device="cpu")
    library.prompts = {"query": "Q: ", "passage": "P: "}
    library.save(str(tmp_path / "model"), create_model_card=False)
    assert ModelFolder.open(tmp_path / "model").own_prompts().of("document") == "P: "


def test_what_a_model_was_trained_with_is_what_it_names_or_what_its_familys_authors_say() -> None:
    bare = Prompts(texts={"query": "", "document": ""})
    assert trained_with("intfloat/multilingual-e5-small", bare).texts == {"query": "query: ", "document": "passage: "}
    assert trained_with("intfloat/e5-base-v2", bare).some
    assert not trained_with("sentence-transformers/all-MiniLM-L6-v2", bare).some
    assert not trained_with("intfloat/multilingual-e5-large-instruct", bare).some
    own = Prompts(texts={"query": "other: "}, default="query")
    assert trained_with("intfloat/e5-base-v2", own) == own
