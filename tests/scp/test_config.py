"""The configuration: defaults, files, environment; what is wrong is refused by name."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from dicomnn.errors import ConfigurationError
from dicomnn.flow.lossy import Lossy
from scp import config as module
from scp.config import Config
from scp.config_read import load
from scp.pool import WorkerSettings
from scp.settings import night_of, place_of, worker_settings


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "dicomnn.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_node_listens_on_loopback_and_codes_without_loss() -> None:
    config = load(None, {})
    assert config.node.bind == "127.0.0.1" and config.coding.profile == "lossless" and config.peers == ()


def test_a_file_sets_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, '[node]\nport = 104\n[[peers]]\nae_title = "CT1"\naddress = "10.0.0.0/8"\n'
                             '[[rules]]\nprofile = "keep"\nmodality = "US"\n')
    config = load(path, {})
    assert config.node.port == 104 and config.node.ae_title == "DICOMNN"
    assert config.peers[0].address == "10.0.0.0/8" and config.rules[0].modality == "US"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[node]\nport = 104\n")
    config = load(path, {"DICOMNN_NODE_PORT": "105", "DICOMNN_STUDY_REPORTS": "false"})
    assert config.node.port == 105 and config.study.reports is False


@pytest.mark.parametrize(("text", "named"), [
    ("[node]\nprot = 1\n", "did you mean 'port'"),
    ("[nod]\nport = 1\n", "did you mean 'node'"),
    ("[node]\nport = \"x\"\n", "'port'"),
    ("[node]\nport = true\n", "'port'"),
    ("[node]\nport = 70000\n", "node.port"),
    ("[node]\nmax_pdu = 0\n", "node.max_pdu"),
    ("[node]\nae_title = \"12345678901234567\"\n", "node.ae_title"),
    ("[node]\nbind = \"0.0.0.0\"\n", "0.0.0.0"),
    ("[storage]\non_conflict = \"sometimes\"\n", "storage.on_conflict"),
    ("[coding]\neffort = \"heroic\"\n", "coding.effort"),
    ("[coding]\nprofile = \"losless\"\n", "coding.profile"),
    ("[[rules]]\nprofile = \"lossy:ratio=0\"\n", "rules"),
    ("[[rules]]\nprofile = \"lossy:mse=3\"\n", "rules"),
    ("[lossy]\ncaps = \"loose\"\n", "lossy.caps"),
    ("[[rules]]\neffort = \"heroic\"\n", "effort in [[rules]]"),
    ("[recode]\neffort = \"heroic\"\n", "recode.effort"),
    ("[metrics]\nport = 70000\n", "metrics.port"),
    ("[forwarding]\nattempts = 0\n", "forwarding.attempts"),
    ("[forwarding]\ndeadline_hours = 0\n", "forwarding.deadline_hours"),
    ("[[forward]]\nmodality = \"CT\"\n", "'to' in [[forward]]"),
    ("[[forward]]\nto = \"PACS\"\n", "list of texts"),
    ("[[forward]]\nto = [\"PACS\"]\n", "'PACS' in [[forward]] is none of [[destinations]]"),
    ("[[destinations]]\nae_title = \"DICOMNN\"\nhost = \"a\"\n[[forward]]\nto = [\"DICOMNN\"]\n",
     "to this node itself"),
    ("[recode]\nmodel = \"latest\"\n", "recode.model"),
    ("[recode]\nbetween = \"22-5\"\n", "recode.between"),
    ("[recode]\nbetween = \"22:00-25:00\"\n", "recode.between"),
    ("[recode]\nbetween = \"05:00-05:00\"\n", "recode.between"),
    ("[recode]\nafter_days = -1\n", "recode.after_days"),
    ("[recode]\nlimit_per_night = -1\n", "recode.limit_per_night"),
    ("[[peers]]\naddress = \"10.0.0.300\"\n", "address"),
    ("[[peers]]\ntitle = \"X\"\n", "title"),
    ("peers = 3\n", "peers"),
    ("[[destinations]]\nhost = \"x\"\n", "ae_title"),
    ("[[destinations]]\nae_title = \"A\"\n", "host"),
    ("[[destinations]]\nae_title = \"A\"\nhost = \"x\"\nport = 0\n", "port"),
    ("[[destinations]]\nae_title = \"A\"\nhost = \"x\"\n" * 2, "twice"),
    ("[[destinations]]\nae_title = \"A\"\nhost = \"x\"\ncompress = \"zip\"\n", "jpeg-ls"),
    ("[[peers]]\ncompress = \"jpeg\"\n", "compress"),
    ("[query]\nmax_answers = -1\n", "query.max_answers"),
    ("[query]\ncoded_availability = \"SOON\"\n", "query.coded_availability"),
    ("[web]\nport = -2\n", "web.port"),
    ("[web]\nthreads = 0\n", "web.threads"),
    ("[web]\nmax_upload = 1\n", "web.max_upload"),
    ("[web]\ncache_bytes = -1\n", "web.cache_bytes"),
    ("node = 3\n", "node"),
    ("[node\n", "TOML"),
])
def test_what_is_wrong_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(written(tmp_path, text), {})
    assert named in raised.value.sentence() and raised.value.exit_code == 2


def test_workers_are_told_the_rules_and_the_nightly_rule(tmp_path: Path) -> None:
    assert night_of(load(None, {})) is None, "off by default"
    config = load(written(tmp_path, '[[rules]]\nae_title = "CT1"\neffort = "fast"\n'
                                    'profile = "lossy:psnr=50"\n'
                                    '[lossy]\ncaps = "drg-2008"\ncompare = false\n'
                                    '[recode]\neffort = "max"\nbetween = "23:00-04:30"\n'), {})
    settings = worker_settings(config)
    assert settings.lossy == Lossy("drg-2008", compare=False) and settings.rules[0].profile == "lossy:psnr=50"
    told = WorkerSettings.from_line(settings.to_line())
    assert told == settings and told.night is not None
    assert told.rules[0].effort == "fast" and told.night.between == "23:00-04:30"
    assert WorkerSettings.from_line(WorkerSettings(place_of(config)).to_line()).night is None


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path / "nothing.toml", {})


def test_beyond_loopback_peers_must_be_named_or_anybody_allowed(tmp_path: Path) -> None:
    named = load(written(tmp_path, '[node]\nbind = "0.0.0.0"\n[[peers]]\nae_title = "CT1"\n'), {})
    anybody = load(written(tmp_path, '[node]\nbind = "0.0.0.0"\naccept_any_peer = true\n'), {})
    assert named.node.bind == anybody.node.bind == "0.0.0.0"


def test_every_key_is_described_where_its_default_stands() -> None:
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Section", "Rule")):
            for place, statement in enumerate(node.body):
                if isinstance(statement, ast.AnnAssign):
                    after = node.body[place + 1] if place + 1 < len(node.body) else None
                    assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant), (
                        node.name, ast.unparse(statement))
    assert len(fields(Config)) == 17


@pytest.mark.parametrize(("listen", "named"), [
    ("0.0.0.0:11180", "plugin.listen"), ("127.0.0.1", "plugin.listen"), ("127.0.0.1:x", "plugin.listen"),
    ("relative.sock", "plugin.listen"), ("127.0.0.1:11180", "plugin.secret_file"),
    ("/run/a.sock", "secret_file")])
def test_the_plugin_is_listened_for_on_this_machine_only_and_with_a_secret(
        listen: str, named: str, tmp_path: Path) -> None:
    more = 'secret_file = "x"\n' if named == "plugin.listen" else ""
    with pytest.raises(ConfigurationError, match=named):
        load(written(tmp_path, f'[plugin]\nlisten = "{listen}"\n{more}'), {})


def test_the_document_names_every_key_with_its_default() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text()
    for section in (*(f.default_factory for f in fields(Config) if f.name not in module.LISTS),
                    *module.LISTS.values()):
        for key in fields(section):  # type: ignore[arg-type]
            default = key.default
            shown = (str(default).lower() if isinstance(default, bool)
                     else f'"{default}"' if isinstance(default, str)
                     else "[]" if default == () else str(default))
            assert f"| `{key.name}` | `{shown}` |" in text, key.name


def test_the_documents_example_is_a_valid_configuration(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    config = load(written(tmp_path, example), {})
    assert config.peers[0].ae_title == "CT1" and config.recode.effort == "max"
