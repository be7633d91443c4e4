"""The built-in test phone: a registrar and a SIP phone on loopback, for a first call without a provider.

`phone` (shell: sockets, tasks) runs `call` (one call), which uses `link` (its media). `registrar` and `numbers` are
plain logic.
"""

from trunkline.demo.numbers import DemoInfo, DemoNumber
from trunkline.demo.phone import DemoPhone

__all__ = ["DemoInfo", "DemoNumber", "DemoPhone"]
