"""An ordinary sentence-transformers card, read for what it fails to say."""

from __future__ import annotations

from pathlib import Path

import pytest

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
