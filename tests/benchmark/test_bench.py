"""`dicomnn bench` over a small tree: what it prints, writes and promises a site."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.uid import RLELossless
from rich.console import Console

from dicomnn.benchmark.conventions import conventions
from dicomnn.benchmark.folder import Folder, Series
from dicomnn.benchmark.plots import draw
from dicomnn.benchmark.ratios import Row
from dicomnn.benchmark.record import scopes
from dicomnn.benchmark.run import Result as Run
from dicomnn.benchmark.run import Settings, Step
from dicomnn.benchmark.tables import size_text
from dicomnn.cli import main
from dicomnn.cli._stages import Shown

OURS, NEAR = "dicomnn:fast:lossless", "jpegls-near:4"


def dicomnn(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def bench(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run over CT, MR and a chart of 8 bits, with a damaged file and one that is no DICOM."""
    root = tmp_path_factory.mktemp("bench")
    for name in ("ct_thorax/ct_01.dcm", "ct_thorax/ct_05.dcm", "mr_brain/t2_01.dcm", "sc_chart/chart.dcm"):
        (root / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample_data / name, root / "tree" / name)
    packed = pydicom.dcmread(sample_data / "mr_brain" / "t2_02.dcm")
    packed.StudyDate = "20230304"
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(root / "tree" / "mr_brain" / "t2_02.dcm")
    raw = (root / "tree" / "mr_brain" / "t2_02.dcm").read_bytes()
    (root / "tree" / "damaged.dcm").write_bytes(raw.replace(b"\x02\x00\x00\x00\x40\x00\x00\x00", b"\x09" * 8))
    (root / "tree" / "read.me").write_text("no image")
    out = root / "out" / "bench.json"
    result = dicomnn("bench", root / "tree", "--json", out, "--efforts", "fast", "--bounded", "4", "--peers",
                     "jxl-e7,jpegls,jpeg2000", "--jobs", 2, "--yearly-tb", "10")  # fmt: skip
    return {"tree": root / "tree", "out": out, "result": result, "json": json.loads(out.read_text())}


def test_it_measures_what_it_can_and_says_what_it_left_out(bench: dict[str, Any]) -> None:
    assert bench["result"].exit_code == 0
    values = bench["json"]
    assert [(one["source"], one["group"], one["frames"]) for one in values["series"]] == [
        ("ct_thorax", "CT", 2),
        ("mr_brain", "MR", 2),
        ("sc_chart", "other", 1),
    ]
    assert [(one["file"], one["reason"]) for one in values["skipped"]] == [("read.me", "not-dicom")]
    assert [(one["file"], one["reason"]) for one in values["undecodable"]] == [("damaged.dcm", "undecodable")]
    assert values["failed"] == []
    assert "skipped (not-dicom): 1" in bench["result"].stdout
    assert "not decodable: damaged.dcm" in bench["result"].stdout


def test_every_series_has_bytes_rates_and_ratios_of_every_codec(bench: dict[str, Any]) -> None:
    values = bench["json"]
    assert set(values["codecs"]) == {"jxl-e7", "jpegls", "jpeg2000", "jxl-e7-threads:2", NEAR, OURS,
                                     "dicomnn:fast:bounded:4"}  # fmt: skip
    for one in values["series"]:
        assert set(one["codecs"]) == set(values["codecs"])
        for codec in one["codecs"].values():
            assert codec["bits_per_pixel"] == pytest.approx(8 * codec["bytes"] / one["pixels"], abs=1e-5)
            assert codec["encode_mb_s"] > 0 and codec["decode_mb_s"] > 0
        sizes = {codec: found["bytes"] for codec, found in one["codecs"].items()}
        assert one["ratios"][OURS]["jxl-e7"] == pytest.approx(sizes[OURS] / sizes["jxl-e7"], abs=1e-5)
        assert set(one["ratios"]["dicomnn:fast:bounded:4"]) == {NEAR}
        assert sizes["jxl-e7-threads:2"] == sizes["jxl-e7"]
        assert sum(one["codecs"][OURS]["tiles"].values()) >= one["frames"]
    means = {m["peer"]: m for m in values["summary"]["whole folder"]["all"]["ratios"] if m["ours"] == OURS}
    ratios = [one["ratios"][OURS]["jxl-e7"] for one in values["series"]]
    assert means["jxl-e7"]["mean"] == pytest.approx(np.mean(ratios), abs=1e-5)
    assert means["jxl-e7"]["payload"] < means["jxl-e7"]["mean"]


def test_speed_is_told_for_every_codec_with_the_same_cores_and_its_memory(bench: dict[str, Any]) -> None:
    for codec, speed in bench["json"]["speeds"].items():
        assert speed["workers"] == (1 if "threads" in codec else 2)
        assert speed["encode_core"] > 0 and speed["decode_core"] > 0 and speed["memory"] > 10 << 20
        # Two cores do at most twice what one does; a busy machine may make it much less.
        assert speed["encode"] < 2.5 * speed["encode_core"] or "threads" in codec


def test_the_savings_are_what_compress_makes_of_the_folder(bench: dict[str, Any], tmp_path: Path) -> None:
    done = dicomnn("compress", bench["tree"], tmp_path / "coded", "--effort", "fast", "--jobs", 1)
    assert done.exit_code == 0
    after = sum(path.stat().st_size for path in (tmp_path / "coded").rglob("*.dcm"))
    now = sum(path.stat().st_size for path in bench["tree"].rglob("*.dcm"))
    parts = bench["json"]["savings"]["folder"]
    assert sum(part["now"] for part in parts) == now
    assert sum(part["after"] for part in parts) == pytest.approx(after, rel=1e-3)
    years = {(part["modality"], part["year"]): (part["files"], part["coded"]) for part in parts}
    assert years["MR", "2023"] == (2, 1), "one of the two is damaged and stays"
    assert not any(part["estimated"] for part in parts)
    yearly = bench["json"]["savings"]["yearly"]
    assert sum(part["now"] for part in yearly) == pytest.approx(10)
    assert sum(part["after"] for part in yearly) == pytest.approx(10 * after / now, rel=1e-3)


def test_tables_conventions_and_pictures_are_shown_and_written(bench: dict[str, Any]) -> None:
    shown, text = bench["result"].stdout, bench["out"].with_suffix(".md").read_text()
    for title in ("Lossless: our bytes / theirs", "Bounded: our bytes / JPEG-LS NEAR", "Bits per pixel",
                  "Tiles won", "Speed, MB/s of 16-bit pixels", "10 TB a year"):  # fmt: skip
        assert title in shown and f"## {title}" in text
    assert "## Every pair" in text
    for sentence in bench["json"]["conventions"]:
        assert f"* {sentence}" in text
    for name in ("bench-series.png", "bench-speed.png"):
        assert f"]({name})" in text
        picture = bench["out"].with_name(name).read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_pictures_without_the_yardstick_are_left_out(bench: dict[str, Any], tmp_path: Path) -> None:
    values = json.loads(json.dumps(bench["json"]))
    for one in values["series"]:
        del one["codecs"]["jxl-e7"]
        one["ratios"] = {ours: {"jpegls": 0.9} for ours in one["ratios"]}
    assert draw(values, tmp_path / "a.json") == []


def test_sources_that_the_model_calls_its_test_set_have_tables_of_their_own() -> None:
    rows = [Row(Series(name, name, name, "CT", "CT", "", []), {}) for name in ("seen", "unseen")]
    run = Run(Settings(Path()), Folder(Path(), [], []), rows, {}, {}, [], [], "model", ("unseen",))
    found = scopes(rows, run.held_out)
    assert {scope: [row.series.key for row in part] for scope, part in found.items()} == {
        "held-out sources": ["unseen"],
        "whole folder": ["seen", "unseen"],
    }
    assert list(scopes(rows[1:], run.held_out)) == ["held-out sources"]
    assert any("model model" in sentence for sentence in conventions(run))


def test_usage_errors_end_with_code_2(bench: dict[str, Any], tmp_path: Path) -> None:
    for wrong in (["--peers", "png"], ["--efforts", "slow"], ["--bounded", "x"], ["--sources", "none"],
                  ["--bounded", "0"], ["--model", "none"]):  # fmt: skip
        assert dicomnn("bench", bench["tree"], *wrong).exit_code == 2, wrong
    assert dicomnn("bench", tmp_path / "nowhere").exit_code == 2


def test_sizes_are_decimal_as_disks_are_sold() -> None:
    assert [size_text(n) for n in (900, 2.5e6, 123e9, 4.25e12)] == ["0.9 kB", "2.5 MB", "123 GB", "4.25 TB"]


def test_the_document_names_every_option_peer_and_key(bench: dict[str, Any], checkout: Path) -> None:
    text = (checkout / "docs" / "benchmark.md").read_text(encoding="utf-8")
    command = main.get_command(None, "bench")  # type: ignore[arg-type]
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts if option[:2] == "--"}
    from dicomnn.benchmark.peers import PEERS

    values = bench["json"]
    keys = {*values, *values["series"][0], *values["series"][0]["codecs"][OURS], *values["savings"],
            *values["savings"]["folder"][0], *values["speeds"][OURS],
            *values["summary"]["whole folder"]["all"],
            *values["summary"]["whole folder"]["all"]["ratios"][0]}  # fmt: skip
    named = set(re.findall(r"`([\w.:-]+)`", text)) | set(re.findall(r"--[a-z-]+", text))
    assert not (options | set(PEERS) | keys) - named


def test_an_interrupt_leaves_the_stages_before_it(bench: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    command = [sys.executable, "-m", "dicomnn", "bench", bench["tree"], "--json", out, "--peers", "jpegls",
               "--efforts", "max", "--jobs", "1", "--no-plots"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("2 of 2: dicomnn max") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=60)
    assert process.returncode == 1 and "interrupted while measuring dicomnn max" in told
    values = json.loads(out.read_text())
    assert list(values["codecs"]) == ["jpegls"] and values["savings"] is None
    assert "Speed, MB/s" in shown


def test_progress_says_stage_size_and_the_time_left_over_all_stages() -> None:
    text = io.StringIO()
    with Shown(Console(file=text, width=120)) as shown:
        told = shown.told()
        assert told.stage and told.pixels and told.seen and told.problem
        told.seen(7)
        told.stage(Step("reading", 0, 0, 1000, 1.0, 0.0))
        told.stage(Step("quick", 1, 2, 1_000_000, 1.0, 9_000_000.0))
        shown.began -= 60  # as if the first stage had taken a minute
        told.pixels(1_000_000)
        told.stage(Step("slow", 2, 2, 1_000_000, 9.0, 0.0))
        told.problem("a\nb: it failed")
    lines = text.getvalue().splitlines()
    assert lines == ["reading, 0.0 MB", "1 of 2: quick, 2.0 MB", "2 of 2: slow, 2.0 MB, about 9 min left",
                     "failed: a b: it failed"]  # fmt: skip
