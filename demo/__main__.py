"""``python -m demo [--keep]``: exit 0 when every data set came back with the bytes that were sent."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from demo import page
from demo.modality import DemoFailed, Image, Study, fetch, identical, read_study, send
from demo.node import RunningNode

CHECKOUT = Path(__file__).resolve().parent.parent
SAMPLES = CHECKOUT / "sample_data"
REPORTS = CHECKOUT / "build" / "demo"     # they outlive the demo's archive, which is removed
STUDIES = ("ct_thorax", "mr_brain", "dx_chest")
POLL_SECONDS = 2.0
CODING_PATIENCE = 420          # seconds for the backlog


def arrive(console: Console, node: RunningNode, studies: list[Study]) -> None:
    """Step 1: the scanner sends; what was acknowledged is on disk."""
    console.print("\n[bold]1. Three studies arrive[/] over C-STORE, as raw data-set bytes")
    with page.progress(console) as bars:
        for study in studies:
            bar = bars.add_task(f"{study.modality}: {study.title}"[:34], total=len(study.images), note="")
            sent = 0

            def advance(image: Image, bar: int = bar) -> None:
                nonlocal sent
                sent += image.size
                bars.update(bar, advance=1, note=page.size(sent))  # type: ignore[arg-type]

            send(node.address, study, advance)


def shrink(console: Console, node: RunningNode, number: int) -> None:
    """Step 2: the workers code, decode again, compare, and only then let the originals go."""
    console.print("\n[bold]2. They shrink[/]: coded, decoded again from the final bytes, compared; "
                  "then the original goes")
    end = time.monotonic() + CODING_PATIENCE
    with page.progress(console) as bars:
        bar = bars.add_task("coding", total=number, note="")
        while True:
            status = node.status()
            waiting = status["backlog"] + status["coding"]
            in_store = page.size(status["bytes_store"])
            bars.update(bar, completed=number - waiting, note=f"{in_store} in the store")
            if not waiting and not status["releases_waiting"]:
                kept = sum(status["kept"].values())
                if kept:                  # every made study can be coded: keeping one is a fault here
                    reasons = [*status["kept"], *(entry["detail"] for entry in status["failed"][:1])]
                    raise DemoFailed(f"{page.images(kept)} not coded: {'; '.join(reasons)}")
                return
            if time.monotonic() > end:
                raise DemoFailed(f"{waiting} images still wait after {CODING_PATIENCE} s:\n"
                                 f"{node.last_words()}")
            time.sleep(POLL_SECONDS)


def come_back(console: Console, node: RunningNode, studies: list[Study]) -> list[int]:
    """Step 3: the viewer fetches; how many images of each study have the bytes that were sent."""
    console.print("\n[bold]3. They come back[/] over C-GET, compared byte by byte with what was sent")
    same = []
    with page.progress(console) as bars:
        for study in studies:
            bar = bars.add_task(f"{study.modality}: {study.title}"[:34], total=len(study.images), note="")

            def advance(image: Image | None, bar: int = bar) -> None:
                if image is not None:
                    bars.update(bar, advance=1)  # type: ignore[arg-type]

            same.append(identical(study, fetch(node.address, study, advance)))
            bars.update(bar, note="identical" if same[-1] == len(study.images) else "DIFFERENT")
    return same


@contextmanager
def archive_folder(keep: bool) -> Iterator[Path]:
    """A new folder for the archive; removed at the end unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="dicomnn-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def farewell(console: Console, node: RunningNode, outcomes: list[page.Outcome], keep: bool) -> None:
    console.print("\n[bold]Quality reports[/] (open in a browser)")
    for outcome in outcomes:
        console.print(f"  {outcome.study.modality:<3} {outcome.report}", soft_wrap=True, highlight=False)
    if keep and node.process is not None:
        address = node.address
        console.print(
            f"\n[bold]The node goes on running[/] (process {node.process.pid})\n"
            f"  pages     {node.web}\n"
            f"  DICOM     {address.host} port {address.port}, AE title {address.ae_title}\n"
            f"  archive   {node.archive}\n  log       {node.log}\n"
            f"  status    .venv/bin/dicomnn status --archive {node.archive}\n"
            f"  stop it   kill {node.process.pid}", soft_wrap=True, highlight=False)


def run(console: Console, keep: bool) -> int:
    """The whole walk. Returns the exit code."""
    started = time.monotonic()
    studies = [read_study(SAMPLES / name) for name in STUDIES]
    number = sum(len(study.images) for study in studies)
    with archive_folder(keep) as folder:
        node = RunningNode(folder)
        finished = False
        try:
            node.start()
            console.print(f"[bold]dicomnn[/] listens on {node.address.host} port {node.address.port}, "
                          f"AE title {node.address.ae_title}; pages at {node.web}", highlight=False)
            arrive(console, node, studies)
            shrink(console, node, number)
            same = come_back(console, node, studies)
            outcomes = []
            for name, study, count in zip(STUDIES, studies, same, strict=True):
                report = node.report(study.study_instance_uid, REPORTS / name)
                outcomes.append(page.Outcome(study, report["totals"], count, REPORTS / name / "report.html"))
            status = node.status()
            finished = keep
        finally:
            if not finished:
                node.stop()
        console.print()
        console.print(page.result_table(outcomes))
        console.print(page.archive_line(status))
        farewell(console, node, outcomes, keep)
    exact = all(outcome.exact for outcome in outcomes)
    verdict = "[green]bit for bit what was sent[/]" if exact else "[bold red]NOT what was sent[/]"
    console.print(f"\nAll {number} images came back {verdict}; {time.monotonic() - started:.0f} s in all.")
    return 0 if exact else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the node running and print its addresses")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    try:
        return run(console, arguments.keep)
    except DemoFailed as failure:
        console.print(f"\n[bold red]The demo failed:[/] {failure}")
        return 1
    except KeyboardInterrupt:
        console.print("\nstopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
