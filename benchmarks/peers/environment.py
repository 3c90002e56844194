"""Makes what a peer needs and this project does not: a Java program, an environment of its own for Quix Streams.

Both are kept under .cache/ and made anew when what they are made of changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "peers"
JAVA_MIN = 17


class LeftOut(Exception):
    """A peer cannot run on this machine; the message says what it lacks."""


def kafka_streams() -> list[str]:
    """Build the Java program; give the command that runs it, without its argument."""
    java, maven, compiler = shutil.which("java"), shutil.which("mvn"), shutil.which("javac")
    if not (java and maven and compiler):
        raise LeftOut(f"Kafka Streams is left out: it needs a JDK of {JAVA_MIN} or newer and Maven (java, javac, mvn)")
    folder, sources = CACHE / "kafka_streams", HERE / "kafka_streams"
    files = [sources / "pom.xml", *sorted(sources.rglob("*.java"))]
    if not _is_made(folder, files):
        shutil.rmtree(folder, ignore_errors=True)
        built = subprocess.run([maven, "-q", "-B", "package"], cwd=sources, check=False, capture_output=True, text=True)
        if built.returncode:
            raise LeftOut(f"Kafka Streams is left out: Maven failed.\n{(built.stdout + built.stderr)[-2000:]}")
        _note_made(folder, files)
    # One collector thread and a heap that does not grow: the least processor time on two cores of what was tried.
    classpath = f"{folder / 'kafka-streams-peer.jar'}{os.pathsep}{folder / 'lib'}/*"
    options = ["-Xms1g", "-Xmx1g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return [java, *options, "-cp", classpath, "peers.Main"]


def quix_streams() -> list[str]:
    """Install Quix Streams apart from the project; give the command that runs the peer."""
    folder, lock = CACHE / "quix", HERE / "quix.lock"
    python = folder / "bin" / "python"
    if not _is_made(folder, [lock]):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        installed = subprocess.run(
            [*install, "--require-hashes", "--no-deps", "-r", str(lock)], check=False, capture_output=True, text=True
        )
        if installed.returncode:
            raise LeftOut(f"Quix Streams is left out: pip failed.\n{installed.stderr[-2000:]}")
        _note_made(folder, [lock])
    return [str(python), "-m", "benchmarks.peers.quix_peer"]


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _is_made(folder: Path, files: list[Path]) -> bool:
    note = folder / "made-of"
    return note.exists() and note.read_text() == _digest(files)


def _note_made(folder: Path, files: list[Path]) -> None:
    (folder / "made-of").write_text(_digest(files))
