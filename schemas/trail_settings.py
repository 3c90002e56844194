"""The settings of the trail: what touched each item in the last day."""

from __future__ import annotations

from schemas.setting_section import Section
from schemas.setting_values import Switch


class TrailSettings(Section):
    """Whether it is written down what touched each item, so that numbers of the last day can be explained."""

    enabled: Switch = False
    """Write `inventory.trail`, which `atp explain --at` and `atp diff` read; needs the topic: `atp topics create`."""
