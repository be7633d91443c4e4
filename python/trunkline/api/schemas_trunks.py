"""What REST tells of trunks.   Owns field names; decides nothing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from trunkline.calls.trunks.line import Line, TrunkState
from trunkline.trunks.limits import Way


class Reloaded(BaseModel):
    """What settings that were read again have changed. Names are of trunks, but for `pending`."""

    model_config = ConfigDict(frozen=True)

    added: list[str] = Field(description="Trunks that take calls from now on.")
    changed: list[str] = Field(description="Trunks with other settings. Their calls go on.")
    removed: list[str] = Field(description="Trunks that take no more calls. Those that stand go on.")
    pending: list[str] = Field(description="Sections that differ from those in force and need a restart.")


class TrunkObject(BaseModel):
    """A trunk as it is now."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    name: str
    state: TrunkState = Field(
        description="`up`, `down`, `unknown` (not asked yet; calls may try), `resting` (it asked to be left alone), "
        "`unregistered`."
    )
    host: str
    groups: list[str] = Field(description="Groups that it is in.")
    priority: int
    weight: int
    active_outbound: int = Field(description="Calls to it now.")
    active_inbound: int = Field(description="Calls from it now.")
    max_calls: int | None = Field(description="Calls at once, both ways; null is no limit.")
    calls_per_s: float | None = Field(description="Attempts a second, each way; null is no limit.")
    attempts: dict[str, dict[str, int]] = Field(description="Call attempts since start, by direction and outcome.")
    failed_probes: int = Field(description="OPTIONS that it failed or left unanswered.")
    last_failure: str | None = Field(description="What it failed with last, for people.")

    @classmethod
    def of(cls, line: Line, groups: dict[str, tuple[str, ...]]) -> TrunkObject:
        """Describe a trunk."""
        trunk = line.trunk
        attempts: dict[str, dict[str, int]] = {way.value: {} for way in Way}
        for (way, outcome), count in line.counts.items():
            attempts[way.value][outcome.value] = count
        return cls(
            name=trunk.name,
            state=line.state,
            host=trunk.account.outbound_proxy or trunk.account.domain,
            groups=[name for name, members in groups.items() if trunk.name in members],
            priority=trunk.priority,
            weight=trunk.weight,
            active_outbound=line.capacity.active[Way.OUTBOUND],
            active_inbound=line.capacity.active[Way.INBOUND],
            max_calls=trunk.limits.calls,
            calls_per_s=trunk.limits.calls_per_s,
            attempts=attempts,
            failed_probes=line.failed_probes,
            last_failure=line.last_failure or None,
        )
