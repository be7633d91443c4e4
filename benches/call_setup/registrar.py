"""A registrar that says yes: the far side of the bindings. Knows no state and reads no more than it must echo."""

from __future__ import annotations

import asyncio
import re
import sys

_ECHOED = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq|Contact|Expires):[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)


class Registrar(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if data.startswith(b"REGISTER "):
            lines = b"".join(_ECHOED.findall(data.partition(b"\r\n\r\n")[0] + b"\r\n"))
            lines = lines.replace(b"\r\nCall-ID", b";tag=r\r\nCall-ID", 1)
            self._transport.sendto(b"SIP/2.0 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n", source)  # type: ignore[attr-defined]


async def main() -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Registrar, local_addr=("127.0.0.1", int(sys.argv[1])))
    print("started", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
