"""What a request may say, and the sentence for what it may not."""

from __future__ import annotations

import json

import pytest

from stsflow.tasks.serving.limits import Limits
from stsflow.tasks.serving.question import Question, read_question
from stsflow.tasks.serving.refusal import RequestRefused

SMALL = Limits(inputs=3, characters=20)
WRONG = [
    (b"", "the body is not JSON"),
    (b'{"input": "x"', "the body is not JSON"),
    (b'{"input": "\\ud800"}', "the body is not JSON"),
    (b"\xff\xfe", "the body is not JSON"),
    (b'"text"', 'the body is "text"; allowed: an object with the field input'),
    (b"null", "the body is null; allowed: an object"),
    (b"[]", "the body is a list; allowed: an object"),
    (b"{}", "input: missing; allowed: a string or a list of strings"),
    (b'{"input": null}', "input: missing"),
    (b'{"input": 7}', "input: found 7; allowed: a string or a list of strings"),
    (b'{"input": {"text": "x"}}', "input: found an object"),
    (b'{"input": []}', "input: found an empty list"),
    (b'{"input": [1, 2]}', "input: found numbers of tokens; send the texts"),
    (b'{"input": [[1, 2], [3]]}', "input: found numbers of tokens; send the texts"),
    (b'{"input": ["x", null]}', "input: found null at place 1; allowed: strings"),
    (b'{"input": ["x", 5]}', "input: found 5 at place 1; allowed: strings"),
    (b'{"input": [true]}', "input: found true at place 0; allowed: strings"),
    (b'{"input": ["1", "2", "3", "4"]}', "input: found 4 texts; allowed: 3 in one request"),
    (b'{"input": ["ok", "123456789012345678901"]}', "input: the text at place 1 has 21 characters; allowed: 20"),
    (b'{"input": "x", "input_typ": "query"}', 'input_typ: the field "input_typ" is not known; allowed: model, input'),
    (b'{"input": "x", "input_type": "passage"}', 'input_type: found "passage"; allowed: query, document'),
    (b'{"input": "x", "encoding_format": "int8"}', 'encoding_format: found "int8"; allowed: float, base64'),
    (b'{"input": "x", "encoding_format": ["float"]}', "encoding_format: found a list; allowed: float, base64"),
    (b'{"input": "x", "dimensions": 0}', "dimensions: found 0; allowed: a whole number from 1"),
    (b'{"input": "x", "dimensions": true}', "dimensions: found true"),
    (b'{"input": "x", "dimensions": 2.5}', "dimensions: found 2.5"),
    (b'{"input": "x", "truncate": "yes"}', 'truncate: found "yes"; allowed: true or false'),
    (b'{"input": "x", "model": 3}', "model: found 3; allowed: a string"),
    (b'{"input": "x", "user": {}}', "user: found an object; allowed: a string"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "sentence"), WRONG, ids=[body[:50].decode("ascii", "replace") for body, _ in WRONG])
def test_what_is_wrong_is_a_sentence_in_the_shape_of_openai(body: bytes, sentence: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        read_question(body, SMALL)
    assert refused.value.status == 400
    error = refused.value.body["error"]
    assert error["message"].startswith(sentence)
    assert error.keys() == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    assert error["param"] in (None, sentence.partition(":")[0])


def test_everything_that_may_be_said_is_read() -> None:
    body = {
        "model": "m", "input": ["a", ""], "encoding_format": "base64", "dimensions": 8, "user": "u",
        "input_type": "query", "truncate": False,
    }  # fmt: skip
    assert read_question(json.dumps(body).encode(), SMALL) == Question(
        texts=("a", ""), model="m", side="query", form="base64", dimensions=8, truncate=False
    )
    assert read_question(b'{"input": "a"}', SMALL) == Question(texts=("a",))


def test_null_is_the_default_of_each_field() -> None:
    """Clients write fields that they were not given as null."""
    fields = dict.fromkeys(("model", "encoding_format", "dimensions", "user", "input_type"))
    assert read_question(json.dumps({"input": "a", **fields}).encode(), SMALL) == Question(texts=("a",))
