"""How often the look at drift alarms: on texts of one place (false alarms), and on others, by the number of texts.

    python -m benchmarks.drift --model MODEL --training FILE --window genre=FILE --json drift.json

MODEL is a folder of a finished model. FILEs hold a text a line (`.txt`) or a column `--column`. Beside the windows that
are given, the training texts cut to their first characters and generated English sentences are tried. Texts are read by
the model once; every draw takes other ones of them, so that 1,000 draws cost minutes and not hours.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from stsflow.tasks.drift.look import Looker, Measured, compare, measured
from stsflow.tasks.drift.texts import DrawnTexts, source_of, texts_of_source
from stsflow.tasks.ground.environment import hardware, versions
from stsflow.tasks.ground.fingerprint import sha256_of_model
from stsflow.tasks.ground.workspace import Workspace
from stsflow.tasks.scenes.rows import generate
from stsflow.tasks.sources import Access

CUT = 8
"""Characters that are left of a truncated text."""


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--training", required=True, help="file, folder or address of training's texts")
    parser.add_argument("--window", action="append", default=[], metavar="NAME=FILE", help="other texts")
    parser.add_argument("--column", default="text")
    parser.add_argument("--texts", type=int, default=1_000, help="of each place, read by the model")
    parser.add_argument("--draws", type=int, default=1_000, help="looks at texts of one place")
    parser.add_argument("--sample", type=int, default=200, help="texts of each side in such a look")
    parser.add_argument("--sizes", type=int, nargs="*", default=[50, 100, 200], help="texts of each side, for alarms")
    parser.add_argument("--level", type=float, default=0.01)
    parser.add_argument("--permutations", type=int, default=399)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    pools = read_pools(arguments)
    found = {"none": false_alarms(pools["training"], arguments)} | alarms_of_others(pools, arguments)
    show(found, arguments)
    if arguments.json:
        told = {"alarms": found, "versions": versions(), "hardware": hardware()}
        arguments.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def read_pools(arguments: argparse.Namespace) -> dict[str, Measured]:
    """The numbers of the texts of each place."""
    places = {"training": arguments.training} | dict(item.split("=", 1) for item in arguments.window)
    with tempfile.TemporaryDirectory(prefix="drift-") as folder:
        workspace = Workspace(Path(folder))
        access = Access(None, workspace.downloads)
        texts = {
            name: texts_of_source(source_of([place], arguments.column), arguments.column, access, arguments.texts, 0)
            for name, place in places.items()
        }
        cut = tuple(text[:CUT] for text in texts["training"].drawn)
        english = tuple(str(row["sentence1"]) for row in generate("sts", "train", arguments.texts, ("en",), 0))
        texts |= {"truncated": DrawnTexts("truncated", len(cut), cut), "English": DrawnTexts("", len(english), english)}
        model = Looker(arguments.model.name, arguments.model, sha256_of_model(arguments.model))
        return dict(zip(texts, measured(model, list(texts.values()), None, workspace), strict=True))


def false_alarms(pool: Measured, arguments: argparse.Namespace) -> dict[str, Any]:
    """Looks at two samples of one place: how many raised an alarm, and by which measure; the bound for that many."""
    generator, looks = np.random.default_rng(0), []
    for _ in range(arguments.draws):
        rows = generator.permutation(len(pool.tokens))[: 2 * arguments.sample]
        looks.append(
            alarms(part(pool, rows[: arguments.sample]), part(pool, rows[arguments.sample :]), arguments, generator)
        )
    bound = int(stats.binom.ppf(0.999, arguments.draws, arguments.level))
    return counted(looks, arguments.sample) | {"bound": bound}


def alarms_of_others(pools: dict[str, Measured], arguments: argparse.Namespace) -> dict[str, Any]:
    """Looks at texts of another place, by the number of texts of each side."""
    generator, found = np.random.default_rng(1), {}
    for name in pools.keys() - {"training"}:
        for size in arguments.sizes:
            looks = []
            for _ in range(100):
                sides = [
                    part(pools[one], generator.permutation(len(pools[one].tokens))[:size]) for one in ("training", name)
                ]
                looks.append(alarms(sides[0], sides[1], arguments, generator))
            found[f"{name}, {size} texts"] = counted(looks, size)
    return dict(sorted(found.items()))


def alarms(before: Measured, now: Measured, arguments: argparse.Namespace, generator: np.random.Generator) -> list[str]:
    """Measures that raised an alarm."""
    measures = compare(before, now, arguments.permutations, int(generator.integers(1 << 30)))
    return [one.name for one in measures if one.adjusted <= arguments.level]


def part(pool: Measured, rows: np.ndarray) -> Measured:
    """Some of the texts."""
    return Measured(pool.embeddings[rows], pool.tokens[rows], pool.unknown[rows], pool.scripts[rows], pool.script_names)


def counted(looks: list[list[str]], size: int) -> dict[str, Any]:
    """Looks with an alarm, and by measure."""
    by_measure = Counter(name for look in looks for name in look)
    return {"looks": len(looks), "texts": size, "alarms": sum(map(bool, looks)), "by_measure": dict(by_measure)}


def show(found: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print what was found."""
    print(f"level {arguments.level:g}, {arguments.permutations} permutations")
    for name, one in found.items():
        said = f"at most {one['bound']} expected" if "bound" in one else ""
        print(f"  {name:<28} {one['alarms']:>5} of {one['looks']:>5} looks alarm  {said}  {one['by_measure']}")


if __name__ == "__main__":
    main()
