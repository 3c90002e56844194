"""Runs the steps of the image's first stage, as docker/Dockerfile has them, in an empty folder: python -m tests.image.

For machines without a container engine. What it cannot show is what only one can: the base image, users, a read-only
root. What it does show: the copied files are enough, the locked packages install, and what is left in /venv runs.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"


class Step(NamedTuple):
    """One instruction of a Dockerfile, its lines joined."""

    word: str
    text: str


def stages(text: str) -> list[list[Step]]:
    """Give the steps of each stage; what stands before the first FROM is no stage."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[list[Step]] = []
    for line in joined.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Step(word, rest.strip()))
    return found


def is_sent(path: str) -> bool:
    """Say whether .dockerignore lets a path of the checkout into the build."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        parents = [path, *map(str, Path(path).parents)]
        if pattern.startswith("**/"):
            parents, pattern = [Path(one).name for one in parents], pattern.removeprefix("**/")
        if pattern and any(fnmatch.fnmatch(one, pattern) for one in parents if one != "."):
            sent = line.startswith("!")
    return sent


def build(folder: Path) -> Path:
    """Run the first stage with `folder` as the root of the file system; the folder of its venv."""
    place = folder
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "http"))}
    environment.pop("PIP_FIND_LINKS", None)
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    for step in stages(DOCKERFILE.read_text("utf-8"))[0]:
        print(f"{step.word} {step.text}", flush=True)
        if step.word == "WORKDIR":
            place = folder / step.text.lstrip("/")
            place.mkdir(parents=True)
        elif step.word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in step.text.split())
        elif step.word == "COPY":
            *sources, target = step.text.split()
            for source in sources:
                _copy(source, place / target)
        elif step.word == "RUN":
            command = re.sub(r"(?<![\w/.])/venv", str(folder / "venv"), step.text)
            subprocess.run(["sh", "-euc", command], cwd=place, env=environment, check=True)
        elif step.word != "FROM":
            raise ValueError(f"{step.word} is not known here: teach {__name__} what it does")
    return folder / "venv"


def _copy(source: str, target: Path) -> None:
    if not is_sent(source):
        raise ValueError(f"COPY {source}: .dockerignore keeps it out")
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(ROOT / source, target)


def main() -> None:
    """Build, and ask what was built for its commands, its schemas and its server-side functions."""
    with tempfile.TemporaryDirectory(prefix="atp-image-") as folder:
        venv = build(Path(folder))
        size = sum(file.stat().st_size for file in venv.rglob("*") if file.is_file())
        atp = [str(venv / "bin" / "atp")]
        bare = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        for command in (
            [*atp, "--help"],
            [*atp, "schema", "stock_counted"],
            [
                str(venv / "bin" / "python"),
                "-c",
                "import flows.processes.supervisor, flows.processes.worker, flows.adapters.files.run",
            ],
            [
                str(venv / "bin" / "python"),
                "-c",
                "from flows.readmodel.store import library; assert 'atp_write' in library()",
            ],
        ):
            subprocess.run(command, cwd="/", env=bare, check=True, stdout=subprocess.DEVNULL)
        left = [
            name for name in ("pip", "setuptools", "pytest", "jgo") if list(venv.glob(f"lib/*/site-packages/{name}"))
        ]
        if left:
            raise SystemExit(f"in the image for nothing: {', '.join(left)}")
        print(f"ok: the first stage builds; /venv has {size / 1e6:.0f} MB; no container engine was asked")


if __name__ == "__main__":
    main()
