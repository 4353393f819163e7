"""The rules about code: who may import whom, where things live, how large a file is, which words are not used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from statistics import median

import pytest

from tests.house import ROOT, imports, module, python, text, tracked, tree

LAYERS = (
    ("errors",),
    ("secrets", "sessions", "wake"),
    ("model",),
    ("rows",),
    ("model.group", "facts"),
    ("fold", "contracts", "policy", "fence", "cascade"),
    ("recorded", "refused", "skipped"),
    ("log", "progress"),
    ("connector",),
    ("engine",),
    ("registry", "mistakes", "health", "metrics"),
    ("config", "status"),
    ("wiring",),
    ("daemon",),
    ("supervisor",),
    ("cli",),
    ("__main__",),
)
"""cdcd's modules, the lowest first: each imports only from layers below its own, and within its own name."""

FOR_CONNECTORS = {
    "cascade", "connector", "contracts", "errors", "facts", "fold", "log", "metrics", "model", "policy",
    "recorded", "refused", "rows", "secrets", "sessions", "skipped", "wake",
}

HOMES = {
    "pymysql": ("connectors/mysql/",),
    "psycopg": ("connectors/postgres/",),
    "psycopg2": ("connectors/postgres/",),
    "typer": ("cdcd/cli/",),
    "rich": ("cdcd/cli/",),
    "prometheus_client": ("cdcd/metrics.py", "cdcd/status.py"),
    "structlog": ("cdcd/log.py",),
    "pydantic": ("cdcd/config.py", "cdcd/mistakes.py"),
    "zstandard": ("connectors/mysql/events.py",),
}
"""Where each third-party package is at home: files, or folders."""

CODE = python("cdcd", "connectors")
ALL = python("cdcd", "connectors", "tests", "benchmarks", "deploy")
LONGEST = 500
MEDIAN = 200


def of(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=str)


def layer(name: str) -> tuple[int, str]:
    """The layer of a module of cdcd, and the name by which it stands there: the longest that fits."""
    found = [
        (len(entry), number, entry)
        for number, entries in enumerate(LAYERS)
        for entry in entries
        if name == f"cdcd.{entry}" or name.startswith(f"cdcd.{entry}.")
    ]
    assert found, f"{name} stands in no layer: say in LAYERS who may import it"
    _, number, entry = max(found)
    return number, entry


def modules_of_ours() -> set[str]:
    return {module(path) for path in CODE}


class TestImports:
    @of(python("cdcd"))
    def test_one_direction(self, path: Path) -> None:
        name = module(path)
        if name == "cdcd":
            return
        mine, entry = layer(name)
        for other in set(imports(path)) & modules_of_ours() - {"cdcd"}:
            assert not other.startswith("connectors"), f"{name} imports {other}: only the registry reaches connectors"
            its, at = layer(other)
            assert its < mine or at == entry, f"{name} ({entry}) imports {other} ({at}), which stands above it"

    @of(python("connectors"))
    def test_connectors_know_the_contracts_and_themselves(self, path: Path) -> None:
        mine = module(path).split(".")[:2]
        for other in imports(path):
            words = other.split(".")
            if words[0] == "cdcd" and len(words) > 1:
                assert words[1] in FOR_CONNECTORS, f"{path} imports {other}"
            elif words[0] == "connectors" and len(words) > 1:
                assert words[:2] == mine, f"{path} imports {other}, of another connector"

    @of(python("cdcd"))
    def test_only_the_registry_names_connectors(self, path: Path) -> None:
        if path.name != "registry.py":
            assert not re.search(r"['\"]connectors\.\w", text(path))

    @of(CODE)
    def test_each_package_is_at_home(self, path: Path) -> None:
        for name in {name.split(".")[0] for name in imports(path)}:
            if name in sys.stdlib_module_names or name in ("cdcd", "connectors"):
                continue
            assert name in HOMES, f"{path} imports {name}, which has no home: say in HOMES where it lives"
            assert str(path).startswith(HOMES[name]), f"{path} imports {name}, at home in {HOMES[name]}"

    def test_every_dependency_is_used(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        needed = {re.split(r"[\[<>=~ ]", need)[0].replace("-", "_") for need in project["dependencies"]}
        assert {name.removesuffix("_binary") for name in needed} == set(HOMES)


class TestFiles:
    def test_no_drawers(self) -> None:
        drawers = {"utils", "util", "common", "base", "manager", "context", "helpers", "misc"}
        found = [str(path) for path in ALL if drawers & set(path.with_suffix("").parts)]
        assert not found, f"{found}: name the idea"

    @of(ALL)
    def test_every_module_says_what_belongs_in_it(self, path: Path) -> None:
        said = ast.get_docstring(tree(path))
        assert said or not text(path).strip(), f"{path} has no docstring"
        assert not said or said.splitlines()[0].strip(), f"{path}: the first line is to say it"

    def test_files_are_small(self) -> None:
        sizes = {path: len(text(path).splitlines()) for path in ALL}
        long = {str(path): size for path, size in sizes.items() if size > LONGEST}
        assert not long, f"{long}: a second cut is wanted"
        assert median(size for path, size in sizes.items() if size) < MEDIAN

    def test_the_contracts_are_prose(self) -> None:
        """Every class, and every method that is not said by its name and type alone."""
        contracts = tree(Path("cdcd/contracts.py"))
        plain = {"close", "interrupt", "facts", "position", "identity"}
        for node in contracts.body:
            if isinstance(node, ast.ClassDef):
                assert ast.get_docstring(node), node.name
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name not in plain:
                        assert ast.get_docstring(method), f"{node.name}.{method.name}"


WORDS = {
    "unfinished": re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b"),
    "the product's name in a test": re.compile(r"\bif \w*(target|source|product|scheme|dialect)\w* [=!]= ['\"]"),
    "a machine's path": re.compile(r"(?<![\w.])/(root|work|home|Users)/\w"),
    "a package index": re.compile(r"--(extra-)?index-url|--find-links +\S*://|pypi\.org/simple|/simple/"),
}
"""What no file says, and why it might. The core asks facts, never a product's name."""

EXEMPT = {"tests/test_house.py", "requirements.lock", "requirements-dev.lock"}


class TestWords:
    @pytest.mark.parametrize("what", WORDS)
    def test_words_not_used(self, what: str) -> None:
        found = [
            f"{path}:{number}: {line.strip()[:100]}"
            for path in tracked()
            if str(path) not in EXEMPT and (path.suffix == ".py" or what not in ("the product's name in a test",))
            for number, line in enumerate(text(path).splitlines(), 1)
            if WORDS[what].search(line)
        ]
        assert not found, "\n".join(found)

    def test_locks_name_no_index(self) -> None:
        for name in ("requirements.lock", "requirements-dev.lock"):
            assert not WORDS["a package index"].search(text(Path(name)))

    def test_engine_and_core_name_no_product(self) -> None:
        products = re.compile(r"['\"](postgres(ql)?|mysql|mariadb|mongodb|oracle|sqlite|kafka)['\"]")
        core = [path for path in python("cdcd") if path.name != "registry.py"]
        found = [str(path) for path in core if products.search(text(path))]
        assert not found
