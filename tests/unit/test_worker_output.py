"""A worker's output is read to its end, whoever reads ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flows.processes.worker_output import WorkerOutput

#: Ten pipes full.
WRITES_MUCH = 'for n in range(10_000):\n print(\'{"event": "\' + "x" * 60 + \'"}\')\n'


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_worker_writes_on_when_nobody_reads_the_engines_log(monkeypatch: pytest.MonkeyPatch, is_closed: bool) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    gone = os.fdopen(writes, "w")
    if is_closed:
        gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    with subprocess.Popen([sys.executable, "-c", WRITES_MUCH], stdout=subprocess.PIPE) as worker:
        output = WorkerOutput(worker)
        try:
            assert worker.wait(20) == 0
        finally:
            worker.kill()
        output.join(5)
    monkeypatch.undo()
    if not is_closed:
        with pytest.raises(BrokenPipeError):
            gone.close()
