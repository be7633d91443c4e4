"""Kamailio as the SIP server: registrar with digest authentication, location table, record-routing proxy."""

import re
from collections.abc import Mapping
from pathlib import Path

from harness.network import Host
from harness.processes import Process
from sip.certificates import Files

PORT = 5060
TLS_PORT = 5061
WS_PORT = 5066
WSS_PORT = 5067
DOMAIN = "phones.test"
USERS = {"web": "web-secret", "phone": "phone-secret", "other": "other-secret"}
"""Accounts of the tests: login -> password."""
NO_REFER = "other"
"""Whose calls the server lets nobody transfer, as many carriers do."""

_CONFIG = """\
@EDGES@
debug=1
log_stderror=yes
children=2
tcp_children=2
disable_tcp=no
dns=no
rev_dns=no
use_dns_cache=no
auto_aliases=no
alias="@DOMAIN@"
listen=udp:@ADDRESS@:@PORT@
listen=tcp:@ADDRESS@:@PORT@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "auth.so"
loadmodule "htable.so"
@EDGE_MODULES@
modparam("htable", "htable", "users=>size=4;")
modparam("registrar", "max_expires", 3600)
modparam("registrar", "append_branches", 1)
modparam("registrar", "gruu_enabled", 0)
modparam("tm", "fr_timer", 5000)
modparam("tm", "fr_inv_timer", 90000)

event_route[htable:mod-init] {
@USERS@
}

@EDGE_EVENTS@

request_route {
@EDGE_ARRIVAL@
    if (!mf_process_maxfwd_header("10")) {
        sl_send_reply("483", "Too Many Hops");
        exit;
    }
    if (is_method("CANCEL")) {
        if (t_check_trans()) t_relay();
        exit;
    }
    if (has_totag()) {
        if (is_method("REFER") && $tU == "@NO_REFER@") {
            sl_send_reply("405", "Method Not Allowed");
            exit;
        }
        if (loose_route()) {
@EDGE_WITHIN@
            t_relay();
        } else if (is_method("ACK")) {
            if (t_check_trans()) t_relay();
        } else {
            sl_send_reply("404", "Not here");
        }
        exit;
    }
    t_check_trans();
    if (is_method("OPTIONS") && uri==myself && $rU==$null) {
        sl_send_reply("200", "OK");
        exit;
    }
    if (is_method("REGISTER")) {
        if ($au == $null || !pv_www_authenticate("@DOMAIN@", "$sht(users=>$au)", "0")) {
            www_challenge("@DOMAIN@", "1");
            exit;
        }
        if ($au != $tU) {
            sl_send_reply("403", "Forbidden");
            exit;
        }
        xlog("L_NOTICE", "saved $au at $ct\n");
        save("location");
        exit;
    }
    # A request from a known contact's user must prove itself.
    if (is_method("INVITE") && $sht(users=>$fU) != $null) {
        if ($au == $null || !pv_proxy_authenticate("@DOMAIN@", "$sht(users=>$au)", "0")) {
            proxy_challenge("@DOMAIN@", "1");
            exit;
        }
        consume_credentials();
    }
    record_route();
@EDGE_REPLIES@
@ROUTES@
    if ($sht(users=>$rU) == $null) {
        sl_send_reply("404", "Not Found");
        exit;
    }
    if (!lookup("location")) {
        sl_send_reply("480", "Temporarily Unavailable");
        exit;
    }
    if (!t_relay()) sl_reply_error();
    exit;
}
"""

_EDGES = {
    "EDGES": """\
enable_tls=yes
tcp_accept_no_cl=yes
listen=tls:@ADDRESS@:@TLS_PORT@
listen=tcp:@ADDRESS@:@WS_PORT@
listen=tls:@ADDRESS@:@WSS_PORT@
""",
    "EDGE_MODULES": """\
loadmodule "tls.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
loadmodule "nathelper.so"
modparam("tls", "certificate", "@CERTIFICATE@")
modparam("tls", "private_key", "@KEY@")
modparam("tls", "ca_list", "@AUTHORITY@")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 1)
modparam("tls", "tls_method", "TLSv1.2+")
modparam("nathelper|registrar", "received_avp", "$avp(RECEIVED)")
""",
    "EDGE_EVENTS": """\
event_route[xhttp:request] {
    set_reply_close();
    set_reply_no_connect();
    if (($Rp == @WS_PORT@ || $Rp == @WSS_PORT@) && $hdr(Upgrade) =~ "websocket" && $rm =~ "GET") {
        if (ws_handle_handshake()) exit;
    }
    xhttp_reply("404", "Not Found", "", "");
}

onreply_route[EDGE] {
    if (proto == WS || proto == WSS || proto == TLS) add_contact_alias();
}
""",
    "EDGE_ARRIVAL": """\
    if (proto == WS || proto == WSS || proto == TLS) {
        force_rport();
        if (is_method("REGISTER")) fix_nated_register();
        else if (is_method("INVITE|UPDATE")) add_contact_alias();
    }
""",
    "EDGE_WITHIN": '            if ($du == $null || $du == "") handle_ruri_alias();',
    "EDGE_REPLIES": '    t_on_reply("EDGE");',
}
"""What it takes to speak TLS and WebSocket too: clients there are answered on the connection that they opened.

Over TLS they show a certificate, as we do (mutual TLS).
"""


class Kamailio(Process):
    """The server on its host. users: login -> password. routes: number -> SIP URI of a peer that does not register.

    certificate: of a server that also speaks TLS, and SIP over WebSocket. authority: who signs clients' certificates.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        users: Mapping[str, str],
        routes: Mapping[str, str] | None = None,
        certificate: Files | None = None,
        authority: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "kamailio.cfg"
        config.write_text(_render(host.address, users, routes or {}, certificate, authority))
        self._has_edges = certificate is not None
        # -DD: stay in the foreground; -m, -M: megabytes of shared and private memory.
        argv = ["kamailio", "-f", str(config), "-DD", "-E", "-m", "64", "-M", "8", "-P", str(folder / "kamailio.pid")]
        super().__init__(host.command([*argv, "-Y", str(folder)]), folder / "kamailio.log")
        self.address = host.address

    def wait_ready(self) -> None:
        """Wait until both sockets are bound."""
        self.wait_for_port(PORT, "tcp")
        self.wait_for_port(PORT, "udp")
        if self._has_edges:
            self.wait_for_port(TLS_PORT, "tcp")
            self.wait_for_port(WS_PORT, "tcp")
            self.wait_for_port(WSS_PORT, "tcp")

    def contact_of(self, login: str) -> str:
        """Return the URI at which the login last registered."""
        self.wait_for(rf"saved {login} at ")
        contacts = re.findall(rf"saved {login} at <([^>]+)>", self.text())
        return str(contacts[-1])


def _render(
    address: str,
    users: Mapping[str, str],
    routes: Mapping[str, str],
    certificate: Files | None,
    authority: Path | None,
) -> str:
    user_lines = "\n".join(f'    $sht(users=>{login}) = "{password}";' for login, password in users.items())
    route_lines = "\n".join(
        f'    if ($rU == "{number}") {{ $ru = "{uri}"; if (!t_relay()) sl_reply_error(); exit; }}'
        for number, uri in routes.items()
    )
    values = {"ADDRESS": address, "PORT": str(PORT), "DOMAIN": DOMAIN, "USERS": user_lines, "ROUTES": route_lines}
    values["NO_REFER"] = NO_REFER
    text = _CONFIG
    for name, part in _EDGES.items():
        text = text.replace(f"@{name}@", "" if certificate is None else part)
    if certificate is not None:
        values["CERTIFICATE"], values["KEY"] = str(certificate.certificate), str(certificate.key)
        values["AUTHORITY"] = str(authority)
        values |= {"TLS_PORT": str(TLS_PORT), "WS_PORT": str(WS_PORT), "WSS_PORT": str(WSS_PORT)}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
