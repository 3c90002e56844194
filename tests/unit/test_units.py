"""Units: one fact about one item."""

from schemas.units import UNIT_FIELDS, EventType, Origin, Unit, plain_unit


def test_a_plain_unit_has_every_field_as_a_unit_of_which_nothing_else_is_known() -> None:
    origin = Origin("t", 0, 1, 2, b"k", b"v")
    plain = plain_unit(EventType.ORDER_PLACED, "SHOVEL", "oms", "e1", "1", 5, 6, origin)
    full = Unit(EventType.ORDER_PLACED, "SHOVEL", "oms", "e1", "1", 5, 6, origin)
    assert [getattr(plain, name) for name in UNIT_FIELDS] == [getattr(full, name) for name in UNIT_FIELDS]
