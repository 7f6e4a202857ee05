"""An ordinary sentence-transformers card, read for what it fails to say."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from models import SENTENCES
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.losses import CoSENTLoss

from stsflow.tasks.card.verify import verify_card

# In the manner of what sentence-transformers 3 writes; 100 steps of 8 rows of 57,400 is what the log implies.
ORDINARY = """---
base_model: some/base
datasets: []
language: []
library_name: sentence-transformers
tags:
- sentence-transformers
- dataset_size:57400
model-index:
- name: SentenceTransformer based on some/base
  results:
  - task: {type: semantic-similarity, name: Semantic Similarity}
    dataset: {name: sts dev, type: sts-dev}
    metrics:
    - {type: spearman_cosine, value: 0.86, name: Spearman Cosine}
---

# SentenceTransformer based on some/base

- **Base model:** [some/base](https://huggingface.co/some/base) <!-- at revision f7d567e1f2493bb0df -->
<!-- - **License:** Unknown -->

model = SentenceTransformer("sentence_transformers_model_id")

<!--
## Bias, Risks and Limitations

*What are the known or foreseeable issues?*
-->

| Metric | Value |
|:-------|:------|
| spearman_cosine | 0.86 |

#### Unnamed Dataset

* Approximate statistics based on the first 1000 samples:

- `per_device_train_batch_size`: 8
- `num_train_epochs`: 10

| Epoch  | Step | Training Loss |
|:------:|:----:|:-------------:|
| 0.5000 | 50   | 0.3862        |
| 1.0000 | 100  | -             |
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(ORDINARY, encoding="utf-8")
    (tmp_path / "modules.json").write_text("[]")
    return tmp_path


def messages(folder: Path) -> str:
    result = verify_card(folder, tools=None)
    assert result.kind == "foreign"
    assert not result.holds
    return "\n".join(f"{problem.place}: {problem.message}" for problem in result.problems)


@pytest.mark.parametrize(
    "said",
    [
        "YAML header, license: No licence is stated.",
        "YAML header, language: No language is stated.",
        "YAML header, datasets: No training data set is named.",
        "text, line 35: A training data set has no name.",
        "text, line 21: Something is given as Unknown.",
        "The usage code names no model.",
        "Sections left as comments of the template: Bias, Risks and Limitations.",
        "The base model's revision stands in a comment only.",
        "No test split: scores are on sts dev only",
        "There is no score of the base model to compare with.",
        "Scores carry no interval.",
        "It does not say how the checkpoint was chosen.",
        "It does not say on how many rows a score rests.",
        "It does not say how much of the training data the model saw.",
        "100 steps of 8 rows passed for 1.00 epochs: at most 800 of 57,400 rows (1.4%) were seen on one device.",
        "The log ends at epoch 1.00 of 10",
        "Token statistics are approximate",
        "No limits or risks are stated.",
        "there is no digest of weights or data to check against",
    ],
)
def test_what_an_ordinary_card_fails_to_say(foreign: Path, said: str) -> None:
    assert said in messages(foreign)


def test_a_model_without_a_card_has_one_problem(foreign: Path) -> None:
    (foreign / "README.md").unlink()
    assert messages(foreign) == "README.md: The model has no card."


def test_a_broken_header_is_said(foreign: Path) -> None:
    (foreign / "README.md").write_text("---\na: [\n---\n\n# Title\n", encoding="utf-8")
    assert "There is no readable YAML header" in messages(foreign)


@pytest.fixture(scope="module")
def librarys_own(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that sentence-transformers itself trained for two steps, with the card that it writes by itself."""
    folder = tmp_path_factory.mktemp("the-librarys-own")
    model = SentenceTransformer(str(tiny_bert), device="cpu")
    rows = {
        "sentence1": list(SENTENCES), "sentence2": list(SENTENCES[1:] + SENTENCES[:1]),
        "score": [number / 16 for number in range(16)],
    }  # fmt: skip
    settings = SentenceTransformerTrainingArguments(
        str(folder / "out"), max_steps=2, per_device_train_batch_size=4, logging_steps=1, eval_strategy="steps",
        eval_steps=1, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    evaluator = EmbeddingSimilarityEvaluator(*rows.values(), name="dev")
    SentenceTransformerTrainer(
        model=model, args=settings, train_dataset=Dataset.from_dict(rows), loss=CoSENTLoss(model), evaluator=evaluator
    ).train()
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


def test_the_card_of_the_library_itself_gets_one_answer_and_no_blame_that_is_untrue(librarys_own: Path) -> None:
    """Two steps of four rows are what max_steps asked for, half of the 16 rows, and the card says how long it took."""
    told = messages(librarys_own)
    for unsaid in (
        "No licence",
        "No language",
        "No base model",
        "No test split",
        "no interval",
        "No number has a source",
    ):
        assert told.count(unsaid) == 1
    assert "It does not say how many texts are cut" in told  # though it links a page on embeddings to be truncated
    assert "log ends" not in told and "By its own log" not in told and "duration" not in told


@pytest.mark.parametrize(("asked", "said"), [(2, ""), (400, "The log ends at step 2 of 400")])
def test_a_log_that_ends_before_its_steps_is_said(librarys_own: Path, tmp_path: Path, asked: int, said: str) -> None:
    card = (librarys_own / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(card.replace("`max_steps`: 2\n", f"`max_steps`: {asked}\n"), encoding="utf-8")
    (tmp_path / "modules.json").write_text("[]")
    assert said in messages(tmp_path) and ("log ends" in messages(tmp_path)) == bool(said)
