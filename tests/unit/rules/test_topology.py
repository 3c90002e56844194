"""Decides whether a channel sells from the right locations and shares them with the right channels (section 2)."""

from __future__ import annotations

from operators.rules.topology import ChannelFacts, LocationFacts, Topology, children, expand, has_cycle

TREE = {
    "EU": LocationFacts(sellable=False),
    "DE": LocationFacts("EU"),
    "DE-1": LocationFacts("DE", sellable=False),
    "DE-2": LocationFacts("DE", deducts_at="pick"),
    "FR": LocationFacts("EU", deducts_at="shipment"),
    "US": LocationFacts(),
}


def world(**channels: ChannelFacts) -> Topology:
    return Topology(1, TREE, channels)


def selling(*locations: str, priority: int = 100) -> ChannelFacts:
    return ChannelFacts(locations, priority)


def test_a_parent_stands_for_itself_and_all_beneath_it() -> None:
    assert world(web=selling("DE")).sells["web"] == ("DE", "DE-2")
    assert world(web=selling("US")).sells["web"] == ("US",)


def test_sellable_is_a_locations_own_word_and_not_its_childrens() -> None:
    assert world(web=selling("EU")).sells["web"] == ("DE", "DE-2", "FR")
    assert world(web=selling("DE-1")).sells["web"] == ()


def test_what_a_record_does_not_say_is_the_contracts_default() -> None:
    assert LocationFacts() == LocationFacts("", True, "first")
    plain = ChannelFacts()
    assert (plain.locations, plain.priority, plain.horizon_days, plain.promise_in_transit) == ((), 100, 0, False)
    limits = (plain.buffer_quantity, plain.buffer_percent, plain.cap, plain.minimum, plain.low_stock_threshold)
    assert (*limits, plain.protected_quantity, plain.max_updates_per_second) == (None,) * 7


def test_a_location_named_twice_is_sold_once() -> None:
    assert world(web=selling("US", "US", "DE", "DE-2")).sells["web"] == ("DE", "DE-2", "US")


def test_a_location_that_was_deleted_is_not_sold_but_what_is_beneath_it_is() -> None:
    without = {code: facts for code, facts in TREE.items() if code != "DE"}
    assert Topology(1, without, {"web": selling("DE")}).sells["web"] == ("DE-2",)


def shared(topology: Topology, one: str, other: str) -> set[str]:
    """What two channels share, by the groups that both are in."""
    return {code for code, group in topology.group_at.items() if {one, other} <= topology.groups[group]}


def test_channels_share_the_locations_that_both_sell() -> None:
    found = world(web=selling("EU"), shop=selling("FR", "US"), edi=selling("DE", "US"), none=selling("DE-1"))
    assert found.sharing == {"web": ALL, "shop": ALL, "edi": ALL, "none": frozenset()}
    assert shared(found, "web", "shop") == {"FR"}
    assert shared(found, "web", "edi") == {"DE", "DE-2"}
    assert shared(found, "shop", "edi") == {"US"}


ALL = frozenset({"web", "shop", "edi"})


def test_channels_under_one_parent_do_not_share_what_only_one_of_them_sells() -> None:
    assert world(web=selling("DE"), shop=selling("FR")).sharing == {"web": {"web"}, "shop": {"shop"}}


def test_locations_that_the_same_channels_sell_are_one_group() -> None:
    found = world(web=selling("EU", "US"), shop=selling("FR"))
    assert found.group_at["DE"] == found.group_at["DE-2"] == found.group_at["US"] != found.group_at["FR"]
    assert [found.groups[found.group_at[code]] for code in ("US", "FR")] == [{"web"}, {"web", "shop"}]


def test_a_location_that_no_channel_names_is_sold_through_none() -> None:
    assert world(web=selling("FR"), shop=selling("FR", "US")).group_at.keys() == {"FR", "US"}
    assert world().group_at == {}


def test_channels_with_the_same_neighbors_have_one_set_of_them() -> None:
    found = world(web=selling("US"), shop=selling("US"), edi=selling("US"))
    assert found.sharing["web"] is found.sharing["shop"] is found.sharing["edi"]


def test_priority_is_the_lower_number_and_on_a_tie_the_code_that_sorts_first() -> None:
    found = world(a=selling(priority=2), b=selling(priority=1), c=selling(priority=2))
    assert found.rank("b") < found.rank("a")
    assert found.rank("a") < found.rank("c")


def test_a_location_says_when_goods_leave_on_hand() -> None:
    found = world()
    assert [found.deducts.get(code) for code in ("DE-2", "FR", "US", "GONE")] == ["pick", "shipment", None, None]


def test_children_are_those_directly_beneath() -> None:
    assert children(TREE) == {"EU": ["DE", "FR"], "DE": ["DE-1", "DE-2"]}
    assert expand(("DE",), children(TREE)) == {"DE", "DE-1", "DE-2"}


def test_a_circle_cannot_be_walked_for_ever() -> None:
    assert expand(("A",), {"A": ["B"], "B": ["A"]}) == {"A", "B"}


def test_a_parent_from_beneath_would_close_a_circle() -> None:
    assert has_cycle("EU", "EU", TREE)
    assert has_cycle("EU", "DE", TREE)
    assert has_cycle("EU", "DE-1", TREE)
    assert not has_cycle("DE-1", "FR", TREE)
    assert not has_cycle("EU", "US", TREE)
    assert not has_cycle("EU", "", TREE)
    assert not has_cycle("EU", "GONE", TREE)


def test_a_circle_among_others_is_noticed_and_ends_the_walk() -> None:
    assert has_cycle("X", "A", {"A": LocationFacts("B"), "B": LocationFacts("A")})
