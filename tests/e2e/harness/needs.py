"""Programs that the tests run, and the packages that bring them."""

import shutil
from pathlib import Path

from peers import require

_PACKAGES = {
    "baresip": "baresip-core",
    "chromium": "chromium",
    "kamailio": "kamailio",
    "linphonec": "linphone-cli",
    "sipp": "sip-tester",
}


def need(program: str) -> None:
    """Skip the test, or fail it where skipping is not allowed, if a peer is not installed."""
    is_installed = shutil.which(program) is not None or Path("/usr/sbin", program).exists()
    require(is_installed, f"{program} is not installed: apt-get install {_PACKAGES[program]}")


def need_module(name: str) -> None:
    """The same for a module of Kamailio's."""
    is_installed = any(Path("/usr/lib").glob(f"*/kamailio/modules/{name}.so"))
    require(is_installed, f"Kamailio has no {name}: apt-get install kamailio-{name}-modules")
