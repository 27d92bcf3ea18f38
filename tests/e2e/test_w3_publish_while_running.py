"""Row W3: published ports of a running container change; nothing restarts, other connections go on.

outside ── underlay ── h1 192.0.2.1 ─┬─ dw-… ── web        a sandbox
                                     ├─ dw-… ── eth1 ┐
                                     └─ docker0 eth0 ┴ box  a real Docker container, running all the while
"""

from __future__ import annotations

from tests.e2e.scene import QUICKLY_S, Scene, kill
from tests.lab import LabHost, docker_engine, fetch, http_server, tcp_connect, tcp_hold
from tests.lab.commands import is_alive


def test_w3_publish_and_unpublish_while_connections_go_on(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        web = scene.sandbox("web", "net")
        hold, server = tcp_hold(web, 7000, "hold"), http_server(web, 8000, "web")
        host.duct("publish", "web", "7000:7000")
        with tcp_connect(outside, host.address, 7000) as held:
            first = held.ask()
            for port in (8081, 8082, 8083):
                host.duct("publish", "web", f"{port}:8000")
                assert fetch(outside, f"http://{host.address}:{port}/")
            host.duct("unpublish", "web", "8081", "8083")
            assert fetch(outside, f"http://{host.address}:8081/", QUICKLY_S) is None
            assert fetch(outside, f"http://{host.address}:8082/")
            again = held.ask()
            assert first is not None
            assert again is not None
            assert first["port"] == again["port"], "the same connection"
        assert all(is_alive(s.process.pid) for s in (hold, server))


def test_w3_a_running_docker_container(host: LabHost, outside: LabHost) -> None:
    with docker_engine(host) as docker:
        docker.run_container("box")
        pid = docker.pid("box")
        with Scene(host, docker.env) as scene:
            box = scene.container("box", pid)
            before = (box.link_names(), box.ip("route", "show"))
            http_server(box, 8000, "box")
            host.duct("network", "create", "net")
            host.duct("connect", "net", "docker:box", env=docker.env)
            assert box.link_names() == ["eth0", "eth1", "lo"]
            url = f"http://{host.address}:8088/"
            host.duct("publish", "docker:box", "8088:8000", env=docker.env)
            seen = fetch(outside, url)
            assert seen is not None
            assert (seen["text"], seen["client"]) == ("box", str(outside.address))
            assert fetch(host, "http://127.0.0.1:8088/")
            host.duct("unpublish", "docker:box", "8088", env=docker.env)
            assert fetch(outside, url, QUICKLY_S) is None
            host.duct("disconnect", "net", "docker:box", env=docker.env)
            assert (box.link_names(), box.ip("route", "show")) == before
            assert docker.pid("box") == pid, "it was never restarted"


def test_w3_a_container_that_died_takes_its_ports_with_it(host: LabHost, outside: LabHost) -> None:
    with docker_engine(host) as docker, Scene(host, docker.env) as scene:
        docker.run_container("box", options=("--network", "none"))
        host.duct("network", "create", "net")
        host.duct("connect", "net", "docker:box", "-p", "8088:8000", env=docker.env)
        kill(docker.pid("box"))
        docker.docker("wait", "box")
        web = scene.sandbox("web")
        http_server(web, 8000, "web")
        host.duct("connect", "net", "web", "-p", "8088:8000", env=docker.env)
        seen = fetch(outside, f"http://{host.address}:8088/")
        assert seen is not None
        assert seen["text"] == "web", "the port was free again"
        names = [s["name"] for s in host.duct_json("sandbox", "ls", env=docker.env) if s["id"]]
        assert names == ["web"]
