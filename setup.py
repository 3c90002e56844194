"""Compiles the modules on the hot path where a C compiler is at hand; without one they run as the Python they are.

The modules are plain Python; the `.pxd` beside each tells Cython the types. `ATP_PURE=1` leaves them uncompiled.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup

#: What is compiled: where the engine spends its time, as `python -m benchmarks.in_process` and py-spy show it.
MODULES = [
    "schemas.state",
    "schemas.units",
    "schemas.messages",
    "operators.ids",
    "operators.rules.cells",
    "operators.rules.margins",
    "operators.rules.lines",
    "operators.rules.lots",
    "operators.rules.supply",
    "operators.rules.quantities",
    "operators.rules.lanes",
    "operators.rules.promise",
    "operators.position",
    "operators.ledger",
    "operators.evaluate",
    "operators.shard",
    "operators.scan",
    "operators.shapes",
    "operators.decode",
    "operators.route",
    "flows.event_source",
    "flows.steps",
    "operators.outbox",
    "operators.lane_queue",
    "flows.encode",
    "flows.metrics",
    "flows.outgoing_kafka",
    "flows.publisher",
]


def extensions() -> list[Any]:
    """Give the modules to compile; none where that is not wanted or not possible."""
    if os.environ.get("ATP_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is not installed: the engine will run uncompiled", file=sys.stderr)
        return []
    flags = ["-O2", "-g0", "-Wno-unused-function", "-Wno-unreachable-code"]
    named = [
        # optional: a machine without a compiler gets the same engine, slower.
        Extension(name, [str(Path(*name.split(".")).with_suffix(".py"))], extra_compile_args=flags, optional=True)
        for name in MODULES
    ]
    return cythonize(  # type: ignore[no-any-return]
        named,
        build_dir="build/cython",
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
