"""Families: things of a recipe that come in kinds, such as sources, shapes, losses, suites and rules.

A family is a class below `Kind`; a kind is a class below the family that names itself, `kind: Literal["files"] =
"files"`, and carries everything that the rest of the product must know of it. A field of a recipe is annotated with the
family and takes any of its kinds, told apart by `kind`. Kinds of other packages join through the entry-point group
`stsflow.kinds`, whose entries name modules that define them:

    [project.entry-points."stsflow.kinds"]
    mine = "my_package.my_loss"
"""

from __future__ import annotations

from functools import cache, reduce
from importlib import import_module
from importlib.metadata import entry_points
from inspect import get_annotations
from operator import or_
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from stsflow.tasks.ground.schema import Section

GROUP = "stsflow.kinds"


class Kind(Section):
    """The root of every family."""

    model_config = ConfigDict(defer_build=True)  # a kind that holds kinds takes those of other packages too

    kind: str
    """Which of the family's kinds this is."""

    @classmethod
    def members(cls) -> tuple[type[Self], ...]:
        """The kinds of this family, in the order of their definition; of a kind, itself and what it inherits from it.

        A class that takes over the name of its base, such as a shape with other column names, is the same kind.
        """
        named = (cls,) if cls._names_itself() else ()
        below = tuple(member for child in cls.__subclasses__() for member in child.members())
        return tuple(dict.fromkeys(named + below))

    @classmethod
    def kind_name(cls) -> str:
        """What `kind` says in a recipe. Not `name`: a kind may have a field of that name."""
        return str(cls.model_fields["kind"].default)

    @classmethod
    def of(cls, kind: str) -> type[Self]:
        """The kind with this name; raises KeyError when the family has none."""
        return {member.kind_name(): member for member in cls.members()}[kind]

    @classmethod
    def named(cls, kind: str) -> Self:
        """The kind with this name, as it is where a recipe says nothing more; raises KeyError when there is none."""
        return cls.of(kind).model_validate({})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the family's kinds."""
        return tuple(member.kind_name() for member in cls.members())

    @classmethod
    def known(cls, kind: str) -> str:
        """`kind`, which a record holds; raises ValueError when the family has no kind of this name."""
        if kind not in (names := cls.names()):
            raise ValueError(f"found {kind!r}; allowed: {', '.join(names)}")
        return kind

    @classmethod
    def is_family(cls) -> bool:
        """Whether this class stands for its kinds: it has no name of its own, and there are some."""
        return cls.model_fields["kind"].is_required() and bool(cls.members())

    @classmethod
    def _names_itself(cls) -> bool:
        return "kind" in get_annotations(cls) and not cls.model_fields["kind"].is_required()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not cls.is_family():
            return handler(source)
        members = cls.members()
        if len(members) == 1:
            return handler.generate_schema(members[0])
        return handler.generate_schema(Annotated[reduce(or_, members), Field(discriminator="kind")])


@cache
def kinds_of_other_packages() -> tuple[str, ...]:
    """Import the modules that other packages name in `stsflow.kinds`; return their names.

    Called before the sections that hold families are defined, so that these know every kind.
    """
    modules = tuple(entry.value for entry in entry_points(group=GROUP))
    for module in modules:
        import_module(module)
    return modules
