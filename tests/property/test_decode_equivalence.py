"""The fast path, the judge and the published models must never disagree about a message, however odd it is."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.decode import CodeSets, Decoder, DecoderConfig
from schemas.codes import is_code, parse_json, parse_time
from schemas.event_table import EVENTS, REVERSIBLE
from schemas.events import ANY_EVENT
from schemas.units import Origin, Refusal, Unit

NOW = parse_time("2025-01-31T12:00:00Z")
FOREVER = 1 << 62
TOPICS = {"warehouse": "warehouse", "orders": "orders", "supply": "supply"}

#: One good value of every field, as JSON text.
GOOD = {
    "event_id": '"event-7"',
    "source": '"wms"',
    "occurred_at": '"2025-01-31T11:59:59.250Z"',
    "schema_version": "1",
    "correlation_id": '"trace/1"',
    "uom": '"case"',
    "reason": '"recount"',
    "item": '"RETRO-CLOCK"',
    "lot": '"lot.1"',
    "location": '"dc/1"',
    "to_location": '"dc/2"',
    "quantity": "7",
    "quarantined": "2",
    "status": '"quarantined"',
    "from_status": '"available"',
    "to_status": '"quarantined"',
    "receipt_id": '"po-1"',
    "transfer_id": '"tr-1"',
    "eta": '"2025-02-02T00:00:00Z"',
    "order_id": '"order-1"',
    "line_id": '"1"',
    "channel": '"web"',
    "expires_at": '"2025-02-01T00:00:00+01:00"',
    "requested_at": '"2025-02-03T00:00:00.123456Z"',
    "reversal": "true",
    "part_of": '"po-9"',
    "best_before": '"2025-08-31"',
}
ODD_NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "5.0",
    "-5",
    "0.0",
    "2.50",
    "-2.5",
    "1e2",
    "1E-2",
    "1e400",
    "1e-400",
    "1e99999999999",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740992",
    "18446744073709551616",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e64",
    "2.0000000000000001",
    "true",
    "false",
    "null",
]
ODD_NUMBERS += ["1" * 64, "1" * 65, "1" * 5000, "0." + "1" * 65]
ODD_TEXTS = [
    "",
    " ",
    "a",
    "a b",
    "\u00e9",
    "\u0000",
    "\u007f",
    "\ud800",
    "\U0001f600",
    "-a",
    ".",
    "a/b",
    "a\\b",
    "a\n",
    "A" * 64,
    "A" * 65,
    "A" * 128,
    "A" * 129,
    "available",
    "quarantined",
    "Available",
    "0",
    "7",
    "07",
    " 7",
    "7 ",
    "+7",
    "-7",
    "2.5",
    "1e1",
    "1_0",
    "\u0667",
    "NaN",
    "Infinity",
    "1.",
    ".5",
    "0x1",
    "web",
    "dc/1",
    "dc/2",
    "po-1",
    "order_placed",
    "pick_confirmed",
]
ODD_TIMES = [
    "2025-01-31T12:00:00Z",
    "2025-01-31t12:00:00z",
    "2025-01-31 12:00:00Z",
    "2025-01-31T12:00:00",
    "2025-01-31",
    "2025-01-31T12:00:00.1Z",
    "2025-01-31T12:00:00.1234567Z",
    "2025-01-31T12:00:00,123Z",
    "2025-W05-5T12:00:00Z",
    "20250131T120000Z",
    "2025-01-31T12:00:00+00:00",
    "2025-01-31T12:00:00-00:00",
    "2025-01-31T14:00:00+02:00",
    "2025-01-31T12:00:00+0000",
    "2025-01-31T12:00:00+00",
    "2025-01-31T12:00:00.5+01:00",
    "2025-02-30T12:00:00Z",
    "2025-01-31T24:00:00Z",
    "2024-12-31T23:59:60Z",
    "2025-01-31T12:00:60Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59.999999Z",
    "2025-01-31T12:00:00.000000ZZ",
    "2025-01-31T12:00Z",
    "1969-12-31T23:59:59.999999Z",
    "2024-01-01T00:00:00Z",
    "2026-01-01T00:00:00Z",
    "2024-02-29",
    "2025-02-29",
    "2025-W05-5",
    "20250131",
    "2025-1-31",
    "0000-12-31",
    "9999-12-31",
]
ODD_OTHERS = ["[]", "{}", "[1]", '{"a":[{}]}', "tru", "'a'", '"\\u002f"', '"a\\/b"', '"\\x"', '"a', "01", "1.", "-"]
ODD_OTHERS += ["[" * depth + "]" * depth for depth in (98, 99, 100, 2000)]
ODD = [*ODD_NUMBERS, *map(json.dumps, ODD_TEXTS), *map(json.dumps, ODD_TIMES), *ODD_OTHERS]
ODD_BYTES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b" ",
    b"\n",
    b"\x00",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"0",
    b"-",
    b".",
    b"e",
]

Pairs = list[tuple[str, str]]


def text_of(pairs: Sequence[tuple[str, str]], gap: str) -> str:
    return "{" + f",{gap}".join(f"{json.dumps(name)}:{gap}{value}" for name, value in pairs) + "}"


def good_of(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """A good value of every field of one type of event, and of every field of its lines."""
    spec = EVENTS[name]
    event = {field: GOOD[field] for field in spec.head.model_fields if field in GOOD}
    line = {field: GOOD[field] for field in spec.line.model_fields} if spec.line is not None else {}
    for said in (event, line):
        if "reversal" in said and (said is line or name not in REVERSIBLE):
            said["reversal"] = "false"
    if name == "stock_withheld":
        del event["lot"]
    return event, line


@st.composite
def pairs_of(draw: st.DrawFn, good: dict[str, str], others: Sequence[str]) -> Pairs:
    """An object's fields: mostly good ones, some missing, odd, repeated or unknown."""
    names = list(good)
    pairs = [(name, good[name]) for name in names if draw(st.integers(0, 5)) < 5 or name in others]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        name = draw(st.sampled_from([*names, *others, *GOOD, "unknown", "Item"]))
        odd = draw(st.sampled_from([*ODD, *GOOD.values()]))
        place = draw(st.integers(0, len(pairs)))
        if draw(st.booleans()):
            pairs = [pair for pair in pairs if pair[0] != name]
            place = min(place, len(pairs))
        pairs.insert(place, (name, odd))
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    return pairs


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, bytes]:
    """A topic and a value."""
    name = draw(st.sampled_from(sorted(EVENTS)))
    spec = EVENTS[name]
    required = [field for field, info in spec.head.model_fields.items() if info.is_required()]
    good, good_line = good_of(name)
    if draw(st.booleans()) and name == "stock_received":
        del good["receipt_id"]
    pairs = draw(pairs_of(good, [field for field in required if field in GOOD]))
    if spec.line is not None:
        if draw(st.booleans()) and name == "order_reopened":
            good_line["quantity"] = GOOD["quantity"]
        needed = [field for field, info in spec.line.model_fields.items() if info.is_required()]
        count = draw(st.sampled_from([0, 1, 1, 1, 2, 3, 60, 120]))
        drawn = [draw(pairs_of(good_line, needed)) for _ in range(min(count, 3))]
        lines = [text_of(line, "") for line in drawn] * (count // 3 or 1)
        if draw(st.integers(0, 9)) == 0:
            lines.append(draw(st.sampled_from(ODD)))
        pairs.append(("lines", f"[{','.join(lines)}]"))
    pairs.insert(draw(st.integers(0, len(pairs))), ("type", json.dumps(name)))
    if draw(st.integers(0, 9)) == 0:
        pairs.append(("type", draw(st.sampled_from([*ODD, *map(json.dumps, EVENTS)]))))
    value = text_of(pairs, draw(st.sampled_from(["", " ", "\n\t"]))).encode(errors="surrogatepass")
    if draw(st.integers(0, 5)) == 0:  # JSON may write a name with escapes
        for field in ("reversal", "part_of", "best_before", "quantity"):
            first = draw(st.integers(0, len(field) - 1))
            spelled = f"{field[:first]}\\u{ord(field[first]):04x}{field[first + 1 :]}"
            value = value.replace(f'"{field}"'.encode(), f'"{spelled}"'.encode())
    if draw(st.integers(0, 5)) == 0:
        place, length = draw(st.integers(0, len(value))), draw(st.integers(0, 2))
        value = value[:place] + draw(st.sampled_from([b"", *ODD_BYTES])) + value[place + length :]
    kind = spec.kind if draw(st.integers(0, 19)) else draw(st.sampled_from(sorted(TOPICS)))
    return kind, value


def origin_of(topic: str, value: bytes) -> Origin:
    return Origin(topic, 0, 1, NOW // 1000, b"key", value)


BOUND = {"wms": frozenset(EVENTS) - {"stock_counted", "order_released"}}
DECODERS = {
    "unbound": Decoder(DecoderConfig(TOPICS), CodeSets({"dc/1", "dc/2", "a"}, {"web", "a"})),
    "bound": Decoder(
        DecoderConfig(TOPICS, source_windows={"a": 0}, may_send=BOUND, source_locations={"wms": frozenset({"dc/1"})}),
        CodeSets({"dc/1", "dc/2"}, {"web"}),
    ),
    "ignorant": Decoder(DecoderConfig(TOPICS), CodeSets((), ())),
    "small": Decoder(DecoderConfig(TOPICS, max_message_bytes=300), CodeSets({"dc/1", "dc/2"}, {"web"})),
}


class EveryCode:
    """Knows each well-formed code."""

    def __contains__(self, code: object) -> bool:
        return isinstance(code, str) and is_code(code)


CREDULOUS = Decoder(
    DecoderConfig(TOPICS, max_clock_skew=FOREVER, dedup_window=FOREVER),
    CodeSets(EveryCode(), EveryCode()),
)


def model_accepts(topic: str, value: bytes) -> bool:
    try:
        event = ANY_EVENT.validate_python(parse_json(value))
    except (ValidationError, ValueError):
        return False
    return EVENTS[event.type].kind == topic


#: Fields of some types, which all others have to pass over, or to refuse.
OF_SOME = ("reversal", "part_of", "best_before", "location", "lot")
#: Stands for a field that is left out.
ABSENT = ""


def assert_the_judge_agrees(decoder: Decoder, origin: Origin, final: bool) -> None:
    units: list[Unit] = []
    refusals: list[Refusal] = []
    judged_units: list[Unit] = []
    judged_refusals: list[Refusal] = []
    done = decoder.decode(origin, NOW, units, refusals, final)
    assert done == decoder._judge(origin, NOW, judged_units, judged_refusals, final), origin.value
    assert (units, refusals) == (judged_units, judged_refusals), origin.value
    assert bool(units or refusals) == done
    assert done or not final


def assert_the_models_agree(topic: str, value: bytes) -> None:
    refusals: list[Refusal] = []
    assert CREDULOUS.decode(origin_of(topic, value), NOW, [], refusals, final=False)
    assert model_accepts(topic, value) == (not refusals), (value, refusals)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_one_odd_value_in_any_field_is_judged_alike_by_all(name: str) -> None:
    spec = EVENTS[name]
    good, line = good_of(name)
    event = {"type": json.dumps(name), **good}
    if name == "stock_received":
        del event["transfer_id"]

    def value_of(changes: dict[str, str], line_changes: dict[str, str]) -> bytes:
        fields = {**event, **changes}
        if line:
            given = [(field, value) for field, value in {**line, **line_changes}.items() if value != ABSENT]
            fields["lines"] = changes.get("lines", f"[{text_of(given, '')}]")
        return text_of([(field, value) for field, value in fields.items() if value != ABSENT], "").encode()

    assert model_accepts(spec.kind, value_of({}, {}))
    for odd in [ABSENT, *ODD]:
        values = [value_of({field: odd}, {}) for field in {*event, *OF_SOME, "unknown", "lines"}]
        for value in [*values, *(value_of({}, {field: odd}) for field in ({*line, "quantity"} if line else ()))]:
            assert_the_judge_agrees(DECODERS["bound"], origin_of(spec.kind, value), final=True)
            assert_the_judge_agrees(DECODERS["unbound"], origin_of(spec.kind, value), final=False)
            assert_the_models_agree(spec.kind, value)


@pytest.mark.parametrize("name", sorted(DECODERS))
@given(message=messages(), final=st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_fast_path_says_what_the_judge_says(name: str, message: tuple[str, bytes], final: bool) -> None:
    assert_the_judge_agrees(DECODERS[name], origin_of(*message), final)


@given(message=messages())
@settings(max_examples=600, deadline=None)
def test_the_models_accept_exactly_what_is_decoded_without_refusal(message: tuple[str, bytes]) -> None:
    assert_the_models_agree(*message)


@given(value=st.binary(max_size=60) | st.text(alphabet='{}[]":,\\/u0123ade \n\t.-+', max_size=40).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_no_bytes_are_too_strange_to_be_refused(value: bytes) -> None:
    units: list[Unit] = []
    refusals: list[Refusal] = []
    assert CREDULOUS.decode(origin_of("orders", value), NOW, units, refusals, final=False)
    assert not units
    (refusal,) = refusals
    assert refusal.code in ("not_json", "not_an_object", "missing_field")
    assert refusal.message.isascii()
