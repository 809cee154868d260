"""Checks what `make dist` has built: the contents of wheel and sdist, and that the wheel runs.

The wheel is installed in a fresh environment with the versions of `constraints.txt`. The first
example of the README runs from it in another folder, where the checkout cannot be imported.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What the sdist needs so that the tests and the site can be made from it.
SOURCES = ["README.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml", ".ci/run"]


def package_files():
    """Every file of the package, as the wheel names it."""
    files = (path for path in (ROOT / "skreg").rglob("*") if path.is_file())
    return {f.relative_to(ROOT).as_posix() for f in files if f.suffix in {".py", ".typed"}}


def check_contents(wheel, sdist):
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert in_wheel == package_files(), in_wheel ^ package_files()
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    missing = {*package_files(), *SOURCES} - in_sdist
    assert not missing, missing


def check_example(wheel, folder):
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", ROOT / "constraints.txt", wheel], check=True)
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    where = "import skreg\nprint(f'skreg {skreg.__version__} from {skreg.__file__}')\n"
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-W", "error", "-c", where + example]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def main():
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    check_contents(wheel, sdist)
    with tempfile.TemporaryDirectory() as folder:
        check_example(wheel, Path(folder))
    print(f"{wheel.name} and {sdist.name} have what they need, and the wheel runs.")


if __name__ == "__main__":
    main()
