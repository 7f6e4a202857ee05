"""A part of a source's rows, so that training set and suites may come from the same files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from stsflow.tasks.ground.schema import LARGEST_SEED, Section


class Part(Section):
    """Which part of the rows is taken. Sources of the same files with the same `dev`, `test`, `by` and `seed` agree.

    Rows that share a value of one of the columns `by`, directly or through others, are all in one part.
    """

    take: Literal["train", "dev", "test"]
    """The part; `train` is what the other two leave."""
    dev: float = Field(default=0.0, ge=0, lt=1)
    """Share of the groups of rows that are for dev."""
    test: float = Field(default=0.0, ge=0, lt=1)
    """Share of the groups of rows that are for test."""
    by: tuple[str, ...] = Field(min_length=1)
    """Columns whose values no two parts share: those of all texts, and that of a group or a user where there is one."""
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    """Another seed deals the groups in another way."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError(f"`dev` and `test` together are {self.dev + self.test:g} and leave nothing to train on")
        if self.share == 0:
            raise ValueError(f"`take: {self.take}` takes nothing while `{self.take}` is 0")
        if self.dev + self.test == 0:
            raise ValueError("`dev` or `test` must be above 0: without either there is one part")
        return self

    @property
    def share(self) -> float:
        """Share of the groups that the part is to have."""
        return {"train": 1 - self.dev - self.test, "dev": self.dev, "test": self.test}[self.take]
