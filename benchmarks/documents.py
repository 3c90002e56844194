"""How fast documents are translated, on one core without Kafka: `python -m benchmarks.documents`.

Python looks for no cycles meanwhile, as in a worker (flows/runtime/cycles.py).

Marks: X12 at least 5 MB/s and 20,000 document lines/s.
"""

from __future__ import annotations

import gc
import time
from zoneinfo import ZoneInfo

import orjson

from operators.adapters.context import Context
from operators.adapters.kinds import translate
from operators.adapters.memory import Dictionary, resolve

ORDERS, LINES, ROUNDS = 1000, 20, 7
MEGABYTES_MIN, LINES_MIN = 5.0, 20_000


def order(number: int) -> str:
    """A purchase order of a retailer, with a description and a pack behind each line."""
    head = [
        f"ST*850*{number:04d}",
        f"BEG*00*SA*PO-{number}**20240110",
        "REF*DP*038",
        "DTM*010*20240112",
        "N1*ST*STORE 7*92*0007",
    ]
    lines = [
        f"PO1*{line}*{line + 3}*EA*9.25*TE*CB*0653{line:02d}-117*PR*RO*VN*AB{(number * 7 + line) % 5000:04d}~"
        f"PID*F****SMALL WIDGET~PO4*4*4*EA"
        for line in range(1, LINES + 1)
    ]
    return "~\n".join([*head, *lines, f"CTT*{LINES}", f"SE*{3 * LINES + 7}*{number:04d}"]) + "~\n"


def interchange() -> bytes:
    """All of them, in one interchange."""
    start = (
        "ISA*00*          *00*          *ZZ*ACME           *ZZ*US             *240110*1200*U*00401*000000001*0*P*>~\n"
        "GS*PO*ACME*US*20240110*1200*1*X*004010~\n"
    )
    return (start + "".join(order(number) for number in range(ORDERS)) + f"GE*{ORDERS}*1~\nIEA*1*000000001~\n").encode()


def main() -> None:
    """Print the best and the median of some rounds, and whether the marks are met."""
    raw = interchange()
    context = Context("acme", ZoneInfo("UTC"), 0, {"item": "first"}, location="DC1")
    took = []
    gc.disable()
    for _ in range(ROUNDS):
        started = time.process_time()
        result = resolve(translate(raw, context), "acme", Dictionary())
        size = sum(len(orjson.dumps(body)) for body in result.bodies())
        took.append(time.process_time() - started)
        assert len(result.lines) == ORDERS * LINES and size
    took.sort()
    for name, seconds in (("best", took[0]), ("median", took[len(took) // 2])):
        megabytes, lines = len(raw) / seconds / 1e6, ORDERS * LINES / seconds
        met = "met" if megabytes >= MEGABYTES_MIN and lines >= LINES_MIN else "missed"
        print(
            f"X12 850, {len(raw) / 1e6:.1f} MB: {name} {megabytes:.1f} MB/s, {lines:,.0f} lines/s a core: marks {met}"
        )


if __name__ == "__main__":
    main()
