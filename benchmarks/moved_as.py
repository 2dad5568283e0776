"""Every file of some folders moved to receivers that take one kind of transfer syntax, and what arrived.

    python benchmarks/moved_as.py FOLDER... [--coded SECONDS] [--all]

A node takes the files over C-STORE as the bytes that they are (with --coded it codes them first, for so
long at most), then moves each to three receivers that never decode anything: one takes Implicit VR Little
Endian alone, one Explicit VR Little Endian alone, one the syntax that the file came in. What arrives is
compared with what was sent by pydicom, not by the node's own code: the same bytes; the same values in the
other encoding; decoded pixels that equal another decoder's (within what decoders of lossy JPEG differ by,
where it is lossy). Prints a table by received syntax, every sub-operation that failed with its reason (--all:
every file), and exits 1 if anything arrived different.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path

from dicomnn.dicom.syntaxes import syntax
from tests.scp.collection import items, waves
from tests.scp.moving import KINDS, Results, moved
from tests.scp.peer import Item


def table(found: list[Item], results: list[Results]) -> str:
    """Counts of verdicts by received syntax and kind of receiver."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    syntax_of = {(number, item.instance): item.syntax
                 for number, wave in enumerate(waves(found)) for item in wave}
    for number, part in enumerate(results):
        for (uid, kind), told in part.items():
            counts[syntax_of[number, uid], kind][told.split(":")[0]] += 1
    lines = [f"{'received as':<48}" + "".join(f"{kind:<34}" for kind in KINDS)]
    for uid in sorted({key[0] for key in counts}):
        cells = [", ".join(f"{count} {told}" for told, count in counts[uid, kind].most_common())
                 for kind in KINDS]
        lines.append(f"{syntax(uid).name[:46]:<48}" + "".join(f"{cell:<34}" for cell in cells))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--coded", type=float, metavar="SECONDS")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    paths = {(item.instance, item.data): path for folder in options.folders for path, item in items(folder)}
    found = [item for folder in options.folders for _, item in items(folder)]
    results, names = [], []
    for number, wave in enumerate(waves(found)):
        names.append({item.instance: paths[item.instance, item.data] for item in wave})
        with tempfile.TemporaryDirectory() as folder:
            results.append(moved(wave, Path(folder) / str(number), options.coded))
    print(table(found, results))
    wrong = 0
    for part, named in zip(results, names, strict=True):
        for (uid, kind), told in part.items():
            wrong += told.startswith("DIFFERENT")
            if options.all or told.startswith(("DIFFERENT", "failed")):
                print(f"{kind}: {named[uid]}: {told}")
    print(f"{sum(map(len, results))} moves of {len(found)} objects, {wrong} different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
