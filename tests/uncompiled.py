"""Runs the engine's own modules as the Python they are, beside their compiled twins: `pytest -p tests.uncompiled`.

Both forms have the same source, so both have to pass the same tests; and a mistake can be planted in this one only.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

OURS = ("flows", "operators", "schemas")
#: the plugin that asks for this
NAME = "tests.uncompiled"


class SourceOnly(MetaPathFinder):
    """Finds our modules' sources, and nothing else."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in OURS or path is None:
            return None
        for folder in path:
            found = FileFinder(folder, (SourceFileLoader, [".py"])).find_spec(name)
            if found is not None:
                return found
        return None


assert not any(name.partition(".")[0] in OURS for name in sys.modules), "too late: the engine is loaded already"
sys.meta_path.insert(0, SourceOnly())
