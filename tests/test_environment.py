"""Dependencies agree wherever they are named, and the package keeps the rules of the house."""

from __future__ import annotations

import ast
import functools
import gzip
import importlib.metadata
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import meznet_helpers

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "meznet_helpers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {
    "linux": ("Linux", "posix", "x86_64"),
    "darwin": ("Darwin", "posix", "arm64"),
    "win32": ("Windows", "nt", "AMD64"),
}
FRAMEWORKS = {"tensorflow", "torch", "transformers", "keras", "torchvision", "timm"}
IMPORT_SECONDS = 0.3
MOST_LINES = 13_200  # 13,000 when the chapters' own helpers have been rewritten
MAX_LINES = 400  # of code: without docstrings, comments and blank lines

# Declared, and imported by none of our files. Why each is there all the same:
INDIRECT = {
    "h5py": "a test's child process writes weights with it as Keras publishes them",
    "import-linter": "run as a program, by this file",
    "ipykernel": "the kernel that the chapters run in",
    "jupyterlab": "make lab opens it, and so does the lab test",
    "mglearn": "plots/networks.py loads one file of it",
    "onnxscript": "torch's export to ONNX needs it",
    "myst-parser": "Sphinx loads it by name to read the chapters",
    "pytest-xdist": "make test runs two tests at a time",
    "pip": "run as a program, by assets/wheels.py",
    "ruff": "run as a program, by make lint and by this file",
    "setuptools": "builds the package without build isolation, so that its version is pinned too",
    "xllamacpp": "a test's child process runs the server of llama.cpp with it",
    "sphinx-book-theme": "Sphinx loads it by name: the looks of the site",
    "sphinx-copybutton": "Sphinx loads it by name: the copy buttons",
    "sphinx-design": "Sphinx loads it by name: tabs and folded blocks",
}

# Imported by a script that says in its first lines what to install, and that no reader runs:
NAMED_BY_SCRIPT = {"resvg_py": "emojizoo/make_artwork.py draws SVG with it"}


def runtime() -> list[Requirement]:
    """Return what the package itself needs."""
    return [Requirement(line) for line in PROJECT["project"]["dependencies"]]


def optional() -> list[Requirement]:
    """Return what the package can do without: what is read by it is named, and how to have it."""
    return [Requirement(line) for line in PROJECT["project"]["optional-dependencies"]["heic"]]


def for_tests() -> list[Requirement]:
    """Return what the tests need besides, and what builds the package."""
    extra = PROJECT["project"]["optional-dependencies"]["test"]
    return [Requirement(line) for line in extra + PROJECT["build-system"]["requires"]]


def name_of(requirement: Requirement) -> str:
    """Return a requirement's normal name."""
    return canonicalize_name(requirement.name)


def lock_entries() -> list[tuple[str, Version, Marker | None, list[str]]]:
    """Return (name, version, marker or None, hashes) for each pin of requirements.lock."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    entries = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            pin, *hashes = line.split("--hash=")
            requirement = Requirement(pin.strip())
            version = Version(re.fullmatch(r"==(\S+)", str(requirement.specifier)).group(1))
            hashes = [text.strip() for text in hashes]
            entries.append((name_of(requirement), version, requirement.marker, hashes))
    return entries


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a name and the marker variables of each platform with each Python."""
    for platform, (system, os_name, machine) in PLATFORMS.items():
        for python in PYTHONS:
            yield (
                f"{platform} {python}",
                {
                    "sys_platform": platform,
                    "platform_system": system,
                    "os_name": os_name,
                    "platform_machine": machine,
                    "python_version": python,
                    "python_full_version": f"{python}.1",
                    "implementation_name": "cpython",
                    "platform_python_implementation": "CPython",
                    "extra": "",
                },
            )


def pins(environment: dict[str, str]) -> dict[str, Version]:
    """Return the version of each package that the lock installs in an environment."""
    found: dict[str, Version] = {}
    for name, version, marker, _ in lock_entries():
        if marker is None or marker.evaluate(environment):
            assert name not in found, f"{name} is pinned twice for {environment}"
            found[name] = version
    return found


def sources(*folders: str) -> list[Path]:
    """Return the Python files and notebooks under some folders of the repository."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return sorted(
        path
        for path in files
        if path.suffix in {".py", ".ipynb"} and ".ipynb_checkpoints" not in path.parts
    )


def code(path: Path) -> str:
    """Return a file's Python code; of a notebook, that of its cells without magics."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell) for cell in cells).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def imports(tree: ast.AST) -> set[str]:
    """Return the dotted names that the code imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def third_party(paths: list[Path]) -> dict[str, set[str]]:
    """Return, for each package imported that is not ours, the files that import it."""
    users: dict[str, set[str]] = {}
    for path in paths:
        inside = path.is_relative_to(PACKAGE)  # a script may import the script beside it
        beside = set() if inside else {other.stem for other in path.parent.glob("*.py")}
        for name in imports(ast.parse(code(path))):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in (PACKAGE.name, "tests") or top in beside:
                continue
            users.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return users


installed = functools.cache(importlib.metadata.packages_distributions)


def distributions(module: str) -> set[str]:
    """Return the normal names of the distributions that bring a top-level module."""
    found = installed().get(module, [module])
    return {canonicalize_name(name) for name in found}


def test_lock_pins_every_dependency_inside_its_range() -> None:
    """On each platform and Python there is one pin for each dependency, and it is allowed."""
    for where, environment in environments():
        pinned = pins(environment)
        for requirement in runtime() + for_tests():
            version = pinned.get(name_of(requirement))
            assert version is not None, f"{where}: {requirement.name} is not in the lock"
            assert version in requirement.specifier, f"{where}: {requirement} is pinned {version}"


def test_lock_is_complete_on_every_platform() -> None:
    """What an installed package asks for, on each platform, is in the lock and inside its range."""
    here = {
        canonicalize_name(dist.name): dist
        for dist in importlib.metadata.distributions()
        if dist.name
    }
    for where, environment in environments():
        pinned = pins(environment)
        for name, version in pinned.items():
            dist = here.get(name)
            if dist is None or Version(dist.version).public != version.public:
                continue
            for line in dist.requires or []:
                asked = Requirement(line)
                if asked.marker and not asked.marker.evaluate(environment):
                    continue
                got = pinned.get(name_of(asked))
                assert got is not None, f"{where}: {name} needs {asked}, which the lock lacks"
                assert asked.specifier.contains(got, prereleases=True), (
                    f"{where}: {name} needs {asked}, and the lock has {got}"
                )


def test_lock_has_hashes_and_names_no_host() -> None:
    """Each pin has a sha256; nothing says where to download from."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"://|index-url|find-links|trusted-host", text)
    entries = lock_entries()
    assert len(entries) > len(runtime())
    for name, _, _, hashes in entries:
        assert hashes, f"{name} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in hashes), name


@pytest.mark.parametrize(
    ("platform", "package"),
    [("win32", "colorama"), ("win32", "pywinpty"), ("darwin", "appnope"), ("linux", "triton")],
)
def test_lock_knows_the_platforms(platform: str, package: str) -> None:
    """Packages that one platform alone needs are pinned for that platform and for no other."""
    having = {env["sys_platform"] for _, env in environments() if package in pins(env)}
    assert having == {platform}


def test_environment_yml_agrees() -> None:
    """Conda brings an allowed Python, pip brings the lock, postBuild brings the package."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "://" not in text
    content = yaml.safe_load(text)
    *plain, pip = content["dependencies"]
    assert content["channels"] == ["conda-forge"]
    assert [line.partition("=")[0] for line in plain] == ["python", "pip"]
    python = plain[0].partition("=")[2]
    assert Version(python) in SpecifierSet(PROJECT["project"]["requires-python"])
    assert pip == {"pip": ["-r requirements.lock"]}
    last = (ROOT / "postBuild").read_text(encoding="utf-8").splitlines()[-2:]
    assert last == ["python -m pip install --no-deps --no-build-isolation -e .", "meznet fetch"]
    assert "\n".join(last) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_makefile_accepts_the_same_pythons() -> None:
    """The Makefile's check and requires-python let the same versions through."""
    low, high = re.search(
        r"\((\d+, \d+)\) <= sys.version_info < \((\d+, \d+)\)",
        (ROOT / "Makefile").read_text(encoding="utf-8"),
    ).groups()
    spec = f">={low.replace(', ', '.')},<{high.replace(', ', '.')}"
    assert SpecifierSet(spec) == SpecifierSet(PROJECT["project"]["requires-python"])
    assert all(Version(python) in SpecifierSet(spec) for python in PYTHONS)


def test_everything_imported_is_declared() -> None:
    """The package, the chapters and the data scripts need nothing that a test alone brings."""
    declared = {name_of(requirement) for requirement in runtime() + optional()}
    also = declared | {name_of(requirement) for requirement in for_tests()}
    missing = []
    for folders, allowed in (
        (("meznet_helpers", "chapters", "data"), declared),
        (("tests",), also),
    ):
        for module, users in third_party(sources(*folders)).items():
            if not distributions(module) & allowed and module not in NAMED_BY_SCRIPT:
                missing.append(f"{module} ({', '.join(sorted(users))})")
    assert not missing, f"imported, but not in pyproject.toml: {'; '.join(sorted(missing))}"


def test_everything_declared_is_used() -> None:
    """A dependency is imported somewhere, or stands in the table above with its reason."""
    used = set()
    for module in third_party(sources("meznet_helpers", "chapters", "data", "tests")):
        used |= distributions(module)
    declared = {name_of(requirement) for requirement in runtime() + for_tests()}
    unused = sorted(declared - used - INDIRECT.keys())
    assert not unused, f"in pyproject.toml, but never used: {', '.join(unused)}"
    stale = sorted(INDIRECT.keys() - (declared - used))
    assert not stale, f"in the table of this test for nothing: {', '.join(stale)}"


def seconds_of(statement: str) -> float:
    """Return the wall time of one fresh interpreter that runs a statement."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT)
    return time.perf_counter() - started


@pytest.mark.budget
@pytest.mark.parametrize("module", ["meznet_helpers", "meznet_helpers.cli"])
def test_time_of_an_import(module: str, report) -> None:
    """Importing shall take 0.3 s at most beyond a bare interpreter."""
    bare, full = [], []
    for _ in range(5):
        bare.append(seconds_of("pass"))
        full.append(seconds_of(f"import {module}"))
    report(f"import {module}: seconds", min(full) - min(bare), at_most=IMPORT_SECONDS)


@pytest.mark.parametrize("module", ["meznet_helpers", "meznet_helpers.cli"])
def test_an_import_loads_no_framework(module: str, fresh_python) -> None:
    """A framework is loaded when a network is asked for."""
    loaded = json.loads(
        fresh_python(f"import json, sys, {module}; print(json.dumps(list(sys.modules)))")
    )
    assert not FRAMEWORKS & set(loaded)


def modules() -> list[Path]:
    """Return the files of the package."""
    return sources(PACKAGE.name)


def test_all_packages_are_installed() -> None:
    """A wheel would lack a folder that is not listed."""
    folders = {dotted(path.parent / "x").rpartition(".")[0] for path in modules()}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def lines_of_code(path: Path) -> int:
    """Count the lines of a file that are neither blank nor a comment nor of a docstring."""
    text = path.read_text(encoding="utf-8")
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    left_out = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in left_out
        for number, line in enumerate(text.splitlines(), 1)
    )


def test_the_package_is_small() -> None:
    """What it does takes this many lines; a reader has to find his way through them."""
    assert sum(map(lines_of_code, modules())) <= MOST_LINES


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_module_keeps_the_rules(path: Path) -> None:
    """A module is short, and imports no framework outside its functions."""
    tree = ast.parse(code(path))
    assert lines_of_code(path) <= MAX_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            node.body = []
    found = {name.partition(".")[0] for name in imports(tree)} & FRAMEWORKS
    assert not found, f"imports {', '.join(found)} at its top"


def dotted(path: Path) -> str:
    """Return the name a module is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_arrows_point_down() -> None:
    """The contracts in pyproject.toml hold: a folder imports from those below it alone."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def defined(path: Path) -> set[str]:
    """Return the names that a module defines itself: no imports."""
    names = set()
    for node in ast.parse(code(path)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            inside = [each for target in targets for each in ast.walk(target)]
            names |= {each.id for each in inside if isinstance(each, ast.Name)}
    return names


def faces() -> dict[str, set[str]]:
    """Return what the face of each folder offers: the names that it imports from the folder."""
    offered = {}
    for path in PACKAGE.glob("*/__init__.py"):
        nodes = [node for node in ast.parse(code(path)).body if isinstance(node, ast.ImportFrom)]
        names = {
            alias.name
            for node in nodes
            if node.module.startswith(dotted(path) + ".")
            for alias in node.names
        }
        if names:
            offered[dotted(path)] = names
    return offered | {PACKAGE.name: {*meznet_helpers._FACE, "__version__"}}


def test_a_name_is_imported_from_one_place() -> None:
    """From the face of its folder, if the face has it; else from the module that defines it.

    The package's own face is for those who use it.
    """
    known, offered, wrong = {dotted(path): path for path in modules()}, faces(), []
    for path in sources("meznet_helpers", "chapters", "data", "tests"):
        for node in ast.walk(ast.parse(code(path))):
            if not isinstance(node, ast.ImportFrom) or node.module not in known:
                continue
            folder = node.module if node.module in offered else node.module.rpartition(".")[0]
            inside = path.is_relative_to(ROOT / folder.replace(".", "/"))
            inside |= folder == PACKAGE.name
            for name in (alias.name for alias in node.names):
                where = f"{path.relative_to(ROOT)}: {name} of {node.module}"
                if f"{node.module}.{name}" in known or name in offered.get(node.module, ()):
                    continue
                if not inside and name in offered.get(folder, ()):
                    wrong.append(f"{where} has its address in the face")
                if name not in defined(known[node.module]):
                    wrong.append(f"{where} is defined elsewhere")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sources("chapters"), ids=lambda path: path.stem)
def test_a_chapter_imports_in_one_cell(path: Path) -> None:
    """From five modules of the package at most, and none of them a command's."""
    cells = [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code" and "meznet_helpers" in "".join(cell["source"])
    ]
    assert len(cells) == 1
    used = {
        node.module for node in ast.walk(ast.parse(cells[0])) if isinstance(node, ast.ImportFrom)
    }
    used = {module for module in used if module.startswith(PACKAGE.name)}
    assert len(used) <= 5 and not any("cli" in module for module in used), used


@pytest.mark.parametrize(
    "arguments", [("check", "--output-format=concise"), ("format", "--check")], ids=" ".join
)
def test_ruff(arguments: tuple[str, ...]) -> None:
    """The linter and the formatter have nothing to say."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr


#: A name of a net, or of another labeler, that does not say which weights.
UNTAGGED = re.compile(
    r"(?<![\w/.@-])(?:(?:keras|timm|torchvision)/[A-Za-z][\w.]*\w|clip/(?:zero-shot|tuned)|"
    r"llm/(?:captioner|judge)|prototypes/(?:animals|photographs))(?![\w@/{-]|\.\w)"
)
#: Where prose says what such a name means.
EXPLAINED = {"README.md", "index.qmd", "chapters/01-keras-applications.ipynb"}


def written(path: Path) -> str:
    """Return a file's text; of tensors, what their header says."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if ".safetensors" in path.name:
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return content.decode("utf-8", "replace")


def test_names_say_which_weights() -> None:
    """In the book, its data and its scripts: without a tag, published weights would be meant."""
    files = [path for name in ("chapters", "data") for path in (ROOT / name).rglob("*.*")]
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in (ROOT / "README.md", ROOT / "index.qmd", *files)
        if path.is_file() and path.suffix not in {".png", ".zip"}
        for name in UNTAGGED.findall(written(path))
        if "lite" not in name.lower()  # of these there are only published weights
    }
    assert found <= {f"{path}: keras/MobileNetV2" for path in EXPLAINED}, "\n".join(sorted(found))
