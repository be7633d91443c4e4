"""Fixtures of the end-to-end tests: two hosts, a SIP server, phones, a browser, the gateway.

Every gateway fixture checks, when its test is over, that the gateway holds what it held before the test and no more.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import browser as browsers
from harness import network as networks
from harness.baresip import Baresip, PhoneSettings
from harness.gateway import HTTP_PORT, Gateway
from harness.kamailio import DOMAIN, USERS, Kamailio
from harness.kamailio import PORT as KAMAILIO_PORT
from harness.needs import need
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from playwright.sync_api import Browser

from peers import require

ARTIFACTS = Path(__file__).resolve().parents[1] / ".artifacts"
TIMEOUT_S = 240
"""Each wait within a test has its own, shorter one."""
ORIGIN = f"http://{CORE}:{HTTP_PORT}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives here, give it more time than a unit test, and run it after everything quick."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("e2e")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))
    items.sort(key=lambda item: here in item.path.parents)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The two hosts."""
    reason = networks.why_not()
    require(not reason, reason or "")
    with Network() as both:
        yield both


@pytest.fixture
def artifacts(request: pytest.FixtureRequest) -> Path:
    """An empty folder for the test's logs and recordings, kept after the run."""
    folder = ARTIFACTS / re.sub(r"[^\w.-]+", "_", request.node.nodeid.split("tests/e2e/")[-1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def kamailio(network: Network, artifacts: Path) -> Iterator[Kamailio]:
    """A SIP server with the accounts of USERS, and numbers that lead to SIPp's usual port."""
    need("kamailio")
    routes = {"7000": f"sip:7000@{CORE}:6060", "7100": f"sip:7100@{CORE}:6060;transport=tcp"}
    with Kamailio(network.core, artifacts / "kamailio", USERS, routes) as server:
        yield server


@pytest.fixture
def phone(network: Network, kamailio: Kamailio, artifacts: Path) -> Iterator[Callable[..., Baresip]]:
    """Start baresip phones, registered at the SIP server. Keywords are fields of PhoneSettings."""
    need("baresip")
    with ExitStack() as phones:

        def start(login: str = "phone", **changes: Any) -> Baresip:
            settings = PhoneSettings(
                login=login,
                password=USERS[login],
                domain=DOMAIN,
                proxy=f"{kamailio.address}:{KAMAILIO_PORT}",
                **changes,
            )
            return phones.enter_context(Baresip(network.core, artifacts / f"baresip-{login}", settings))

        yield start


@pytest.fixture(scope="module")
def chromium(network: Network) -> Iterator[Browser]:
    """One browser for the tests of a module; each test has tabs of its own."""
    need("chromium")
    with browsers.chromium(network.edge, ARTIFACTS / "chromium", ORIGIN) as browser:
        yield browser


@pytest.fixture
def start_gateway(network: Network, artifacts: Path) -> Iterator[Callable[..., Gateway]]:
    """Start a gateway with other settings than `gateway` has; the same check follows."""
    with ExitStack() as gateways:

        def start(settings: dict[str, dict[str, Any]] | None = None, *, command: str = "serve") -> Gateway:
            gateway = gateways.enter_context(Gateway(network.core, artifacts, settings, command=command))
            gateways.callback(gateway.assert_back_to, gateway.holdings())
            return gateway

        yield start


@pytest.fixture
def gateway(start_gateway: Callable[..., Gateway]) -> Gateway:
    """The gateway with the harness's settings."""
    return start_gateway()


@pytest.fixture
def open_page(chromium: Browser, artifacts: Path) -> Iterator[Callable[..., PhonePage]]:
    """Open the Phone page in a new tab, from the usual origin or another."""
    with ExitStack() as tabs:

        def start(origin: str = ORIGIN) -> PhonePage:
            page = PhonePage(chromium, artifacts / f"page-{len(list(artifacts.glob('page-*')))}.log", origin)
            tabs.callback(page.close)
            return page

        yield start


@pytest.fixture
def page(gateway: Gateway, kamailio: Kamailio, open_page: Callable[..., PhonePage]) -> PhonePage:
    """The Phone page, signed in as `web` at the SIP server through the gateway."""
    opened = open_page()
    opened.sign_in("web", USERS["web"], DOMAIN, kamailio.address, KAMAILIO_PORT)
    opened.expect_session("REGISTERED")
    return opened
