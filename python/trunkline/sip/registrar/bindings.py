"""Bindings: where an address of record can be reached, on which flow, until when.

Owns their limits, their order and their end: by time, by the flow they came on, by the client's word. Sans-IO; knows no
password.   RFC 3261 section 10.3 steps 7 and 8, RFC 5626 sections 5.3 and 6.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from trunkline.sip.headers import SipUri
from trunkline.sip.registrar.form import Q_MOST, Refusal, RegisterForm, Wish, written_q
from trunkline.sip.types import HeaderFields, Path

_RETRY_AFTER_S = 60
_STALE_ENDS = 8
"""How many ends of refreshed bindings are kept for each live one before they are thrown out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingLimits:
    """min_expires_s: shorter wishes are answered 423. per_address, total: bindings that are kept at most."""

    min_expires_s: int = 60
    max_expires_s: int = 3_600
    per_address: int = 10
    total: int = 10_000


@dataclass(frozen=True, slots=True)
class Binding:
    """One of them. aor: as the table is kept by. path: the flow on which the client is reached.

    sip_call_id, cseq: of the REGISTER that said so. since: when it was made; refreshes keep it.
    domain: of the address as the client wrote it. q: as in `Wish`.
    """

    aor: str
    key: str
    contact: SipUri
    path: Path
    expires_at: float
    sip_call_id: str
    cseq: int
    since: float
    instance: str = ""
    reg_id: int = 0
    domain: str = ""
    q: int = Q_MOST

    def contact_value(self, now: float) -> str:
        """Write it for the 200 to a REGISTER."""
        outbound = f';+sip.instance="{self.instance}";reg-id={self.reg_id}' if self.reg_id else ""
        q = "" if self.q == Q_MOST else f";q={written_q(self.q)}"
        return f"<{self.contact}>;expires={max(1, round(self.expires_at - now))}{q}{outbound}"


class Bindings:
    """All bindings of one registrar, by address of record. What is over is told once, by whatever ended it."""

    def __init__(self, limits: BindingLimits) -> None:
        self.limits = limits
        self._by_aor: dict[str, dict[str, Binding]] = {}
        self._by_flow: dict[Path, dict[tuple[str, str], Binding]] = {}
        self._ends: list[tuple[float, str, str]] = []
        self._count = 0

    def __len__(self) -> int:
        """Bindings that are kept."""
        return self._count

    def of(self, now: float, aor: str) -> tuple[Binding, ...]:
        """Return the live bindings of an address, the newest first."""
        live = [binding for binding in self._by_aor.get(aor, {}).values() if binding.expires_at > now]
        return tuple(sorted(live, key=lambda binding: binding.since, reverse=True))

    def on_flow(self, now: float, path: Path) -> tuple[Binding, ...]:
        """Return the live bindings of one flow."""
        return tuple(b for b in self._by_flow.get(_flow(path), {}).values() if b.expires_at > now)

    def check(self, now: float, aor: str, form: RegisterForm) -> Refusal | None:
        """Judge a form against what is bound; None if it may be granted. Changes nothing."""
        known = self._by_aor.get(aor, {})
        if form.is_all:
            return Refusal(500, "Out of order") if any(_is_late(form, b) for b in known.values()) else None
        added = 0
        for wish in form.wishes:
            bound = known.get(wish.key)
            if bound is not None and _is_late(form, bound):
                return Refusal(500, "Out of order")
            if wish.expires_s == 0:
                continue
            added += bound is None
            if wish.expires_s is not None and wish.expires_s < self.limits.min_expires_s:
                return Refusal(423, None, (("Min-Expires", str(self.limits.min_expires_s)),))
        if added and len(self.of(now, aor)) + added > self.limits.per_address:
            return Refusal(403, "Too many contacts")
        if added and self._count + added > self.limits.total:
            return Refusal(503, None, (("Retry-After", str(_RETRY_AFTER_S)),))
        return None

    def grant(
        self, now: float, aor: str, form: RegisterForm, *, expires_s: int | None = None
    ) -> tuple[tuple[Binding, ...], tuple[Binding, ...]]:
        """Do what a checked form asks; returns the bindings made or refreshed, and those that are gone.

        expires_s: granted by somebody else, in the place of what the form wishes.
        """
        if form.is_all:
            return (), tuple(self._drop(binding) for binding in tuple(self._by_aor.get(aor, {}).values()))
        made: list[Binding] = []
        gone: list[Binding] = []
        for wish in form.wishes:
            bound = self._by_aor.get(aor, {}).get(wish.key)
            if bound is not None:
                self._drop(bound)
            granted_s = wish.expires_s if wish.expires_s == 0 or expires_s is None else expires_s
            if granted_s is None or granted_s > self.limits.max_expires_s:
                granted_s = self.limits.max_expires_s
            if granted_s:
                since = now if bound is None else bound.since
                made.append(self._keep(_binding(since, now + granted_s, aor, wish, form)))
            elif bound is not None:
                gone.append(bound)
        return tuple(made), tuple(gone)

    def answer_headers(self, now: float, aor: str, form: RegisterForm) -> HeaderFields:
        """Write the headers of the 200: every binding, and whether flows are understood.   RFC 5626 section 6."""
        contacts = tuple(("Contact", binding.contact_value(now)) for binding in self.of(now, aor))
        has_flow = form.takes_outbound and any(wish.is_outbound for wish in form.wishes)
        return (*contacts, *((("Require", "outbound"),) if has_flow else ()))

    def close_flow(self, path: Path) -> tuple[Binding, ...]:
        """Drop what was bound on a flow that has closed, and return it."""
        return tuple(self._drop(binding) for binding in tuple(self._by_flow.get(_flow(path), {}).values()))

    def handle_timeout(self, now: float) -> tuple[Binding, ...]:
        """Drop what has expired, and return it."""
        gone: list[Binding] = []
        while self._ends and self._ends[0][0] <= now:
            ends_at, aor, key = heapq.heappop(self._ends)
            binding = self._by_aor.get(aor, {}).get(key)
            if binding is not None and binding.expires_at <= ends_at:
                gone.append(self._drop(binding))
        return tuple(gone)

    def poll_timeout(self) -> float | None:
        """When `handle_timeout` is due, or None."""
        return self._ends[0][0] if self._ends else None

    def _keep(self, binding: Binding) -> Binding:
        self._by_aor.setdefault(binding.aor, {})[binding.key] = binding
        self._by_flow.setdefault(_flow(binding.path), {})[binding.aor, binding.key] = binding
        self._count += 1
        if len(self._ends) > _STALE_ENDS * (self._count + 1):
            self._ends = [(b.expires_at, b.aor, b.key) for known in self._by_aor.values() for b in known.values()]
            heapq.heapify(self._ends)
        else:
            heapq.heappush(self._ends, (binding.expires_at, binding.aor, binding.key))
        return binding

    def _drop(self, binding: Binding) -> Binding:
        flow = _flow(binding.path)
        del self._by_aor[binding.aor][binding.key]
        del self._by_flow[flow][binding.aor, binding.key]
        if not self._by_aor[binding.aor]:
            del self._by_aor[binding.aor]
        if not self._by_flow[flow]:
            del self._by_flow[flow]
        self._count -= 1
        return binding


def _binding(since: float, expires_at: float, aor: str, wish: Wish, form: RegisterForm) -> Binding:
    return Binding(
        aor,
        wish.key,
        wish.uri,
        form.path,
        expires_at,
        form.sip_call_id,
        form.cseq,
        since,
        wish.instance,
        wish.reg_id,
        form.aor.host,
        wish.q,
    )


def _flow(path: Path) -> Path:
    """Return what two messages on the same flow have in common: a stream's number, or both addresses."""
    return replace(path, remote=("", 0)) if path.connection else path


def _is_late(form: RegisterForm, bound: Binding) -> bool:
    """Whether a newer REGISTER of the same client has been heard.   RFC 3261 section 10.3 step 7."""
    return form.sip_call_id == bound.sip_call_id and form.cseq <= bound.cseq
