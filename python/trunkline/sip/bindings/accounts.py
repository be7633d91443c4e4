"""The accounts that one user agent uses: their registrations, what is known of their servers, who they are called as.

Owns the way from a called Contact to its registration. What a registration does is `registration`'s.
RFC 3261 section 10.2.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from trunkline.sip.bindings.keep_alive import KeepAlive
from trunkline.sip.bindings.registration import Registration, State
from trunkline.sip.client import AccountAccess
from trunkline.sip.core import Core
from trunkline.sip.headers import SipUri, check_field
from trunkline.sip.types import Account, Path, RegistrationId

_PER_S = 500
"""Bindings renewed in a second when all are to be: a server that comes back is not to be flooded."""


class Accounts:
    """All registrations of one user agent, and the accounts that its calls use."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._keep_alive = KeepAlive(core)
        self._registrations: dict[RegistrationId, Registration] = {}
        self._bindings: dict[str, Registration] = {}
        self._contact_users: dict[Account, str] = {}
        self._accesses: weakref.WeakValueDictionary[Account, AccountAccess] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        """Registrations that live."""
        return len(self._registrations)

    def register(self, now: float, account: Account, expires_s: int) -> RegistrationId:
        """Begin a registration. LocalProtocolError if the account's texts cannot be put on the wire."""
        registration = Registration(
            self._core,
            RegistrationId(self._core.new_id()),
            self.access(account),
            keep_alive=self._keep_alive,
            expires_s=expires_s,
            on_over=self._forget,
            on_recovered=self._wake_neighbours,
        )
        registration.start(now)
        self._registrations[registration.id] = registration
        self._bindings[registration.contact_user] = registration
        self._contact_users[account] = registration.contact_user
        return registration.id

    def unregister(self, now: float, registration: RegistrationId) -> None:
        """Take a binding back. Unknown ids are ignored."""
        known = self._registrations.get(registration)
        if known is not None:
            known.unregister(now)

    def handle_unreachable(self, now: float, path: Path) -> None:
        """Learn that a peer cannot be reached; registrations on the way to it are renewed by another."""
        self._keep_alive.handle_unreachable(now, path)

    def handle_stun(self, now: float, data: bytes, path: Path) -> None:
        """Take the answer to a keep-alive."""
        self._keep_alive.handle_stun(now, data, path)

    def handle_network_change(self, now: float) -> None:
        """Try failed registrations again; the others where our address is another now."""
        self._keep_alive.handle_network_change(now)
        self._hurry(now, [each for each in self._registrations.values() if each.state is State.WAITING])

    def shutdown(self, now: float) -> None:
        """Take all bindings back."""
        for registration in list(self._registrations.values()):
            registration.unregister(now)

    def access(self, account: Account) -> AccountAccess:
        """Return what is known of the account's server. LocalProtocolError if its texts cannot be put on the wire."""
        for text in (account.login, account.authentication_name, account.display_name):
            check_field("From", text or "")
        access = self._accesses.get(account)
        if access is None:
            SipUri.of(account.login, account.domain)
            SipUri.of(None, account.outbound_proxy or account.domain)
            access = self._accesses[account] = AccountAccess(self._core, account)
        return access

    def contact_user(self, account: Account | None, caller: str | None) -> str:
        """Use the binding's user part where the account is registered, so that the peer can call it."""
        known = None if account is None else self._contact_users.get(account)
        return known or caller or self._core.token()

    def binding_of(self, contact_user: str) -> RegistrationId | None:
        """Find the registration whose Contact was called."""
        known = self._bindings.get(contact_user)
        return None if known is None else known.id

    def _wake_neighbours(self, now: float, recovered: Registration) -> None:
        """Let those who wait for the same server know that it is back."""
        known = self._registrations.values()
        self._hurry(now, [each for each in known if each.state is State.WAITING and each.home == recovered.home])

    def _hurry(self, now: float, registrations: Sequence[Registration]) -> None:
        for number, registration in enumerate(registrations):
            registration.hurry(now, number / _PER_S)

    def _forget(self, registration: RegistrationId) -> None:
        over = self._registrations.pop(registration)
        del self._bindings[over.contact_user]
        if self._contact_users.get(over.account) == over.contact_user:
            del self._contact_users[over.account]
