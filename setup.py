"""Compiles the modules on the hot path where a C compiler is at hand; without one they run as the Python they are.

The modules are plain Python; the `.pxd` beside each tells Cython the types. `ATP_PURE=1` leaves them uncompiled. Where
there is a compiler, a module that does not compile fails the build: left out without a word, it would be slow for ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from setuptools import Extension, setup

#: What is compiled: where the engine spends its time, as `python -m benchmarks.in_process` and py-spy show it.
MODULES = [
    "schemas.state",
    "schemas.units",
    "schemas.messages",
    "operators.ids",
    "operators.rules.admission",
    "operators.rules.cells",
    "operators.rules.margins",
    "operators.rules.days",
    "operators.rules.lines",
    "operators.rules.lots",
    "operators.rules.past",
    "operators.rules.supply",
    "operators.rules.quantities",
    "operators.rules.lanes",
    "operators.rules.promise",
    "operators.rules.causes",
    "operators.rules.holds",
    "operators.rules.reconciliation",
    "operators.rules.variances",
    "operators.reconciled_json",
    "operators.reconciling.earlier",
    "operators.position",
    "operators.ledger",
    "operators.evaluate",
    "operators.trail",
    "operators.shard",
    "operators.scan",
    "operators.shapes",
    "operators.decode",
    "operators.route",
    "operators.ours",
    "operators.effects",
    "operators.reconciling.names",
    "operators.reconciling.desk",
    "operators.reconciling.rows",
    "operators.reconciling.naming",
    "operators.reconciling.closing",
    "operators.reconciling.standing",
    "operators.reconciling.verdicts",
    "operators.reconciling.reconciler",
    "operators.statement_decode",
    "operators.coordinator",
    "flows.sources.consumer",
    "flows.sources.events",
    "flows.sources.statements",
    "flows.dataflow.steps",
    "operators.outbox",
    "operators.lane_queue",
    "schemas.times",
    "flows.readmodel.slices",
    "flows.readmodel.wire",
    "flows.publishing.messages",
    "flows.monitoring.metrics",
    "flows.publishing.kafka_writer",
    "flows.publishing.handover",
    "flows.publishing.lanes",
    "flows.publishing.patience",
    "flows.publishing.publisher",
    "flows.publishing.reports",
    "flows.publishing.restating",
    "flows.publishing.shards",
    "flows.publishing.trust",
    "flows.publishing.writer",
    "flows.readmodel.redis_model",
]

BUILT = Path("build/cython")


def has_compiler() -> bool:
    """Can a module be compiled here: is there a C compiler, and are Python's headers where it looks?"""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        probe.write_text("#include <Python.h>\n")
        include = sysconfig.get_path("include")
        try:
            done = subprocess.run(
                [*command.split(), f"-I{include}", "-c", str(probe), "-o", str(probe.with_suffix(".o"))],
                capture_output=True,
                check=False,
            )
        except OSError:
            return False
    return done.returncode == 0


def has_newer_types(built: Path) -> bool:
    """Is any `.pxd` newer than what was made of it? Cython follows direct `cimport`s alone, and sizes go further."""
    made = [path.stat().st_mtime for path in built.rglob("*.c")]
    return bool(made) and any(
        path.stat().st_mtime > min(made)
        for room in ("schemas", "operators", "flows")
        for path in Path(room).rglob("*.pxd")
    )


def extensions() -> list[Any]:
    """Give the modules to compile; none where that is not wanted or not possible."""
    if os.environ.get("ATP_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is not installed: the engine will run uncompiled", file=sys.stderr)
        return []
    if not has_compiler():
        print("There is no C compiler, or none that finds Python.h: the engine will run uncompiled", file=sys.stderr)
        return []
    flags = ["-O2", "-g0", "-Wno-unused-function", "-Wno-unreachable-code"]
    named = [
        Extension(name, [str(Path(*name.split(".")).with_suffix(".py"))], extra_compile_args=flags) for name in MODULES
    ]
    return cythonize(  # type: ignore[no-any-return]
        named,
        build_dir=str(BUILT),
        force=has_newer_types(BUILT),
        compiler_directives={
            "language_level": 3,
            "annotation_typing": False,  # the .pxd says what is typed; annotations are mypy's
            "binding": True,
            "profile": False,
        },
        nthreads=os.cpu_count() or 1,
        quiet=True,
    )


setup(ext_modules=extensions())
