"""The name of a column with several values a row."""

from __future__ import annotations


class Several(str):
    """What shapes ask for and readers find: a list field of this name, or the columns `<name>_1`, `<name>_2`, …"""

    __slots__ = ()
