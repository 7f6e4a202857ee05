"""What the names of a recipe may hold. Each becomes a path, an address, a filter or a key elsewhere, hours later.

The bounds are those of the systems that take the name: MLflow 3 (models, experiments, tags), Prefect 3 (limits,
deployments, pools), the Hugging Face hub (repositories, revisions), and a file system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from stsflow.tasks.ground.errors import RecipeError

LONGEST_NAME = 250
"""`MAX_ENTITY_KEY_LENGTH` of MLflow, and near the longest file name."""
LONGEST_TAG_VALUE = 8_000
OUR_TAGS = ("mlflow.", "stsflow.", "prefect.")


@dataclass(frozen=True)
class NameRule:
    """What a kind of name may look like."""

    pattern: str
    """A name matches it as a whole."""
    allowed: str
    """The same in words."""
    never: str = r"$.^"
    """Nothing in a name matches this."""
    longest: int = LONGEST_NAME

    def holds(self, name: str) -> bool:
        """Whether `name` is one of this kind."""
        return (
            len(name) <= self.longest
            and re.fullmatch(self.pattern, name) is not None
            and re.search(self.never, name) is None
        )

    def __call__(self, name: str) -> str:
        """The name itself; raises what pydantic shows as a sentence."""
        if not self.holds(name):
            raise PydanticCustomError("name", "allowed: {allowed}", {"allowed": self._said()})
        return name

    def check(self, where: str, name: str) -> str:
        """The name itself; raises RecipeError naming `where` it was given (an option of a command)."""
        if not self.holds(name):
            shown = name if len(name) <= 80 else name[:77] + "..."
            raise RecipeError(f"{where}: found {shown!r}; allowed: {self._said()}")
        return name

    def _said(self) -> str:
        return f"{self.allowed}; at most {self.longest} characters"


_INSIDE = "letters, digits, `_`, `-`, `.`"
MODEL = NameRule(r"\w([\w .-]*\w)?", f"{_INSIDE} and single blanks, from a letter or digit to a letter or digit", "  ")
EXPERIMENT = NameRule(
    r"[\w/@]([\w .:/@+()-]*[\w.)+-])?", f"{_INSIDE}, `:`, `/`, `@`, `+`, brackets and single blanks inside", "  "
)
TAG = NameRule(
    r"\w[\w .-]*(/[\w-][\w .-]*)*",
    f"{_INSIDE}, blanks, and `/` between two parts; names that begin with {', '.join(OUR_TAGS)} are taken",
    "|".join([*(f"^{re.escape(own)}" for own in OUR_TAGS), r"\s$", r"\.$"]),
)
WORD = NameRule(r"\w([\w.-]*\w)?", f"{_INSIDE}, from a letter or digit to a letter or digit", r"\.\.", 100)
SERVICE = NameRule(
    r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?",
    f"ASCII {_INSIDE}, from a letter or digit to a letter or digit",
    r"\.\.",
    64,
)
"""Work pools, queues, deployments: they become names of files, of sections of a configuration, and arguments."""
HUB_ID = NameRule(
    r"\w([\w.-]*\w)?(/\w([\w.-]*\w)?)?", "`name` or `owner/name` as the hub writes it", r"\.\.|--|[^\x00-\x7f]", 96
)
HUB_REPOSITORY = NameRule(
    r"\w([\w.-]*\w)?/\w([\w.-]*\w)?", "`owner/name` as the hub writes it", r"\.\.|--|[^\x00-\x7f]", 96
)
BRANCH = NameRule(
    r"\w([\w./-]*\w)?", f"a branch of {_INSIDE} and `/`, outside `refs/`", r"\.\.|//|[^\x00-\x7f]|^refs/|\.lock$", 255
)
REVISION = NameRule(
    r"\w([\w./-]*\w)?", f"a commit, or a branch or tag of {_INSIDE} and `/`", r"\.\.|//|[^\x00-\x7f]", 255
)
HUB_WORD = NameRule(
    r"[\w.+@ -]+", f"a configuration or split as the hub writes it, of {_INSIDE}, `+`, `@` and blanks", r"\.\."
)
PACKAGE = NameRule(r"[A-Za-z_][A-Za-z0-9_]*", "the import name of a Python package", longest=100)
FOLDER_INSIDE = NameRule(
    r"[\w.-]+(/[\w.-]+)*", f"a folder below, of {_INSIDE} and `/`, without `..`", r"(^|/)\.\.(/|$)"
)
LANGUAGE = NameRule(r"[A-Za-z]+([-_][A-Za-z0-9]+)*", "a language code such as `ko` or `zh-Hans`", longest=35)
LICENCE = NameRule(r"([A-Za-z0-9][A-Za-z0-9 .+()-]*)?", "an SPDX identifier such as `cc-by-sa-4.0`", longest=100)
PLACE = NameRule(r"[\w.@:/~+-]*", f"an address, path or hub id of {_INSIDE}, `@`, `:`, `/`, `~` and `+`")
MTEB_TASK = NameRule(r"\w[\w .()+-]*", f"the name of a task of the package mteb, of {_INSIDE}, `+` and blanks")
CURRENCY = NameRule(r"[^\s\x00-\x20]+", "a currency code or sign", longest=8)

ModelName = Annotated[str, AfterValidator(MODEL)]
ExperimentName = Annotated[str, AfterValidator(EXPERIMENT)]
TagName = Annotated[str, AfterValidator(TAG)]
Word = Annotated[str, AfterValidator(WORD)]
ServiceName = Annotated[str, AfterValidator(SERVICE)]
HubId = Annotated[str, AfterValidator(HUB_ID)]
HubRepository = Annotated[str, AfterValidator(HUB_REPOSITORY)]
Branch = Annotated[str, AfterValidator(BRANCH)]
HubWord = Annotated[str, AfterValidator(HUB_WORD)]
PackageName = Annotated[str, AfterValidator(PACKAGE)]
Revision = Annotated[str, AfterValidator(REVISION)]
FolderInside = Annotated[str, AfterValidator(FOLDER_INSIDE)]
Language = Annotated[str, AfterValidator(LANGUAGE)]
Licence = Annotated[str, AfterValidator(LICENCE)]
Place = Annotated[str, AfterValidator(PLACE)]
MtebTask = Annotated[str, AfterValidator(MTEB_TASK)]
Currency = Annotated[str, AfterValidator(CURRENCY)]
