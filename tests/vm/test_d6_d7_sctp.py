"""Rows D6 and D7 for SCTP, which many kernels of small machines lack: real associations, both families.

outside 192.0.2.254 ── underlay ── h1 192.0.2.1:7000 ── dw-… ─┬─ web :8000
                                                              └─ friend
"""

from __future__ import annotations

from tests.e2e.scene import QUICKLY_S, Inside, Scene, flows, refused
from tests.lab import LabHost, fetch, http_server
from tests.vm.sctp import sctp_ask, sctp_association, sctp_server


def _web(scene: Scene) -> Inside:
    scene.host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
    return scene.sandbox("web", "net")


def test_sctp_is_refused_while_taken_then_published_to_everybody_until_unpublished(
    host: LabHost, outside: LabHost
) -> None:
    with Scene(host) as scene:
        web = _web(scene)
        friend = scene.sandbox("friend", "net")
        http_server(web, 8000, "tcp")
        with sctp_server(host, 7000, "the host's own"):
            answer = refused(host, "publish", "web", "7000:8000/sctp")
            assert "7000/sctp is taken" in answer.stderr
            seen = sctp_ask(outside, host.address, 7000)
            assert seen is not None
            assert seen["text"] == "the host's own"
        with sctp_server(web, 8000, "web"):
            assert sctp_ask(outside, host.address, 7000, QUICKLY_S) is None, "not published yet"
            host.duct("publish", "web", "7000:8000/sctp")
            for address, client in ((host.address, outside.address), (host.address6, outside.address6)):
                seen = sctp_ask(outside, address, 7000)
                assert seen == {"text": "web", "client": str(client)}, f"another machine, {address}"
            for own in (str(host.address), "127.0.0.1", str(host.address6)):
                seen = sctp_ask(host, own, 7000)
                assert seen is not None, f"the host itself, {own}"
                assert seen["text"] == "web"
            for who in (friend, web):
                for address in (host.address, host.address6):
                    seen = sctp_ask(who, address, 7000)
                    assert seen is not None, f"{who.name}, {address}"
                    assert seen["text"] == "web"
            assert fetch(outside, f"http://{host.address}:7000/", QUICKLY_S) is None, "sctp only"
            host.duct("unpublish", "web", "7000/sctp")
            for address in (host.address, host.address6):
                assert sctp_ask(outside, address, 7000, QUICKLY_S) is None


def test_unpublishing_ends_the_associations_of_that_mapping_alone(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        web = _web(scene)
        with sctp_server(web, 8000, "web"):
            host.duct("publish", "web", "7000:8000/sctp", "7001:8000/sctp")
            with (
                sctp_association(outside, host.address, 7000) as ended,
                sctp_association(outside, host.address, 7001) as kept,
            ):
                assert ended()
                assert kept()
                host.duct("unpublish", "web", "7000/sctp")
                assert ended() is None
                assert kept()
                assert not flows(host, "-p", "sctp", "--orig-port-dst", "7000", "--dst-nat")
