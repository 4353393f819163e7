"""The wheel, in an environment that holds nothing else: what a user gets by `pip install`."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_the_wheel_runs_in_an_empty_environment(tmp_path: Path) -> None:
    """Both packages and the locked dependencies are enough, from a directory without the sources."""
    dist, empty = tmp_path / "dist", tmp_path / "empty"
    empty.mkdir()
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, ROOT, cwd=empty)
    (wheel,) = dist.glob("cdcd-*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", "--require-hashes", "-r", ROOT / "requirements.lock", cwd=empty)
    _run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=empty)
    cdcd = python.with_name("cdcd")
    assert _run(cdcd, "--version", cwd=empty).startswith("cdcd 0.")
    assert "run" in _run(cdcd, "--help", cwd=empty)
    _run(python, "-m", "pip", "check", cwd=empty)
    code = "import connectors.postgres.connector as c, connectors.jsonlines.connector; print(c.__file__)"
    assert str(tmp_path / "venv") in _run(python, "-c", code, cwd=empty)
