"""The house: its rooms, their order, and what holds in each of them, read from the source."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import skreg

PACKAGE = Path(skreg.__file__).parent
TESTS = Path(__file__).parents[1]

# A room may import those in the rows above its own, and none in its row or below.
ROWS = [
    {"penalties", "losses", "datasets", "_version"},
    {"optim", "modules", "plotting"},
    {"training"},
    {"estimators"},
    {"path", "model_selection", "stability"},
    {"__init__"},
]
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: Files with code, as opposed to the faces of rooms.
INSIDE = sorted(name for name in FILES if not name.endswith("__init__"))
FACES = sorted(set(FILES) - set(INSIDE))


def room_of(name):
    return name.split(".")[0]


def row_of(name):
    return next(number for number, row in enumerate(ROWS) if room_of(name) in row)


def imports_of(name, *, everywhere=True):
    """Dotted names a file imports, inside functions too unless told otherwise."""
    tree = ast.parse(FILES[name].read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            yield node.module


@cache
def imported_files(name):
    """Files of the package that a file imports."""
    inside = {
        imported.removeprefix("skreg").lstrip(".")
        for imported in imports_of(name)
        if imported.split(".")[0] == "skreg"
    }
    return {file if file in FILES else f"{file}.__init__".lstrip(".") for file in inside}


def files_in_circles():
    """What is left when files that import none of the rest are taken away, again and again."""
    left = set(FILES)
    while free := {name for name in left if not imported_files(name) & left}:
        left -= free
    return left


def test_every_room_has_its_row():
    assert {room_of(name) for name in FILES} == set().union(*ROWS)


@pytest.mark.parametrize("name", FILES)
def test_imports_point_only_upward(name):
    for other in imported_files(name):
        in_room = room_of(name) == room_of(other) and not other.endswith("__init__")
        assert in_room or row_of(other) < row_of(name), f"{name} imports {other}"


def test_no_file_runs_in_a_circle():
    assert not files_in_circles()


@pytest.mark.parametrize("face", [face for face in FACES if face != "__init__"])
def test_no_folder_has_more_files_than_one_can_oversee(face):
    assert len(list(FILES[face].parent.glob("*.py"))) <= 15


@pytest.mark.parametrize("name", INSIDE)
def test_files_are_small_and_say_what_they_are_for(name):
    source = FILES[name].read_text()
    assert ast.get_docstring(ast.parse(source))
    assert source.count("\n") <= 560


@pytest.mark.parametrize("name", FILES)
def test_faces_alone_list_public_names(name):
    public = name in FACES or name in {"losses", "datasets", "stability"}
    assert public or "__all__" not in FILES[name].read_text()
    if name in FACES:
        # They hand names on and define nothing.
        tree = ast.parse(FILES[name].read_text())
        kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
        assert all(isinstance(node, kinds) for node in tree.body)


@pytest.mark.parametrize("name", [name for name in INSIDE if name != "_version"])
def test_every_file_has_its_test(name):
    *room, file = name.split(".")
    assert TESTS.joinpath(*room, f"test_{file}.py").exists()


def test_every_test_has_its_file():
    for path in TESTS.rglob("test_*.py"):
        *room, test = path.relative_to(TESTS).with_suffix("").parts
        if room != ["whole"]:
            assert ".".join([*room, test.removeprefix("test_")]) in INSIDE, path


def test_one_file_imports_skorch():
    importing = [n for n in FILES if any(i.startswith("skorch") for i in imports_of(n))]
    assert importing == ["training.skorch_net"]


def test_displays_read_results_and_train_nothing():
    for name in (n for n in FILES if room_of(n) == "plotting"):
        assert {room_of(other) for other in imported_files(name)} <= {"plotting", "penalties"}


def test_the_maths_does_without_the_rest():
    # Penalties and optimizers go in anybody's torch loop: neither skorch nor pandas is theirs.
    for name in FILES:
        if room_of(name) in {"penalties", "losses", "optim", "modules"}:
            roots = {imported.split(".")[0] for imported in imports_of(name)}
            known = {"torch", "numpy", "sklearn", "skreg", *sys.stdlib_module_names}
            assert roots <= known


def test_importing_the_package_does_not_import_matplotlib():
    code = "import skreg, skreg.plotting, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_package_is_typed():
    assert (PACKAGE / "py.typed").exists()
