"""The main job on a throwaway host: `./dev demo`.

Everything happens in network namespaces made for it; the machine's own network is not touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

DUCT = str(Path(sys.executable).with_name("duct"))
HOST_IP, OUTSIDE_IP = "192.0.2.1", "192.0.2.2"  # TEST-NET-1, RFC 5737

SERVER = """
import http.server, socketserver, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"hello from {sys.argv[2]}, you are {self.client_address[0]}\\n".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Server(socketserver.ThreadingTCPServer):  # HTTPServer would ask a name server for its own name
    allow_reuse_address = True
Server(("", int(sys.argv[1])), Page).serve_forever()
"""


class Stage:
    """A throwaway host and an outside machine, each a network namespace, joined by a wire."""

    def __init__(self, folder: Path) -> None:
        tag = secrets.token_hex(3)
        self.host, self.outside = f"demo-{tag}-host", f"demo-{tag}-outside"
        self.folder = folder
        self.servers: list[subprocess.Popen[bytes]] = []
        self.failures: list[str] = []
        self.environment = {
            **os.environ,
            "DUCTWORK_NETNS": f"/run/netns/{self.host}",
            "DUCTWORK_HOST": str(folder / "state"),
        }

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Make both machines, and take everything away whatever happens."""
        try:
            for name in (self.host, self.outside):
                call("ip", "netns", "add", name)
                call("ip", "-n", name, "link", "set", "lo", "up")
            wire = ["type", "veth", "peer", "name", "eth0", "netns", self.outside]
            call("ip", "link", "add", "eth0", "netns", self.host, *wire)
            for name, address in ((self.host, HOST_IP), (self.outside, OUTSIDE_IP)):
                call("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
                # No link-local address, whose detection of duplicates would change routes while we look.
                call("ip", "-n", name, "link", "set", "eth0", "addrgenmode", "none", "up")
            call("ip", "-n", self.host, "route", "add", "default", "via", OUTSIDE_IP)
            yield
        finally:
            for server in self.servers:
                server.kill()
                server.wait()
            for space in sorted((self.folder / "state" / "netns").glob("*")):
                subprocess.run(["umount", "-l", str(space)], stderr=subprocess.DEVNULL, check=False)
            for name in (self.host, self.outside):
                subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    # -- what the demo does --------------------------------------------------------------------------------

    def duct(self, *words: str) -> None:
        """Run duct on the host, and show it."""
        print(
            f"\033[1m$ duct {' '.join(words)}\033[0m" if sys.stdout.isatty() else f"$ duct {' '.join(words)}"
        )
        done = subprocess.run(
            [DUCT, *words], env=self.environment, text=True, capture_output=True, check=False
        )
        print(indent(done.stdout + done.stderr), end="")
        if done.returncode != 0:
            self.failures.append(f"duct {' '.join(words)}")

    def serve(self, sandbox: str, port: int) -> None:
        """Run a real web server in a sandbox."""
        argv = [DUCT, "sandbox", "exec", sandbox, "--", sys.executable, "-ISc", SERVER, str(port), sandbox]
        self.servers.append(subprocess.Popen(argv, env=self.environment))
        self._wait_for(sandbox, port)

    def _wait_for(self, sandbox: str, port: int) -> None:
        space = str(self.folder / "state" / "netns" / sandbox)
        for _ in range(200):
            listening = call("nsenter", f"--net={space}", "ss", "-Hltn", f"sport = :{port}")
            if listening.strip():
                return
            time.sleep(0.02)
        self.failures.append(f"the server in {sandbox} did not start")

    def fetch(self, where: str, url: str, expected: str | None) -> None:
        """Fetch a page from somewhere; `expected` None means that it must not be reachable."""
        curl = ["curl", "-sS", "--connect-timeout", "0.8", "--max-time", "2", url]
        spaces = {"host": self.host, "outside": self.outside}
        if where in spaces:
            argv = ["ip", "netns", "exec", spaces[where], *curl]
        else:
            argv = [DUCT, "sandbox", "exec", where, "--", *curl]
        done = subprocess.run(argv, env=self.environment, text=True, capture_output=True, check=False)
        answer = done.stdout.strip() or "no answer"
        good = (done.returncode != 0) if expected is None else (done.returncode == 0 and expected in answer)
        print(f"  {'✓' if good else '✗'} {where:8} {url:34} {answer}")
        if not good:
            self.failures.append(f"{url} from {where}: {answer} {done.stderr.strip()}")

    def traces(self) -> dict[str, str]:
        """Read everything Ductwork could have left on the host."""
        look = ["ip", "netns", "exec", self.host]
        links = json.loads(call(*look, "ip", "-j", "link"))
        return {
            "links": " ".join(link["ifname"] for link in links),
            "routes": call(*look, "ip", "route", "show", "table", "all"),
            "rules": call(*look, "nft", "list", "ruleset"),
            "forwarding": call(*look, "cat", "/proc/sys/net/ipv4/ip_forward"),
        }


def call(*argv: str) -> str:
    """Run a tool and return what it printed."""
    return subprocess.run(argv, check=True, text=True, capture_output=True).stdout


def indent(text: str) -> str:
    """Move every line in by two."""
    return "".join(f"  {line}\n" for line in text.splitlines())


def say(text: str) -> None:
    """Say what comes next."""
    print(f"\n── {text}")


def play(stage: Stage) -> None:
    """Show the main job from the first network to the last trace."""
    before = stage.traces()
    say("two networks, four sandboxes; api is on both")
    stage.duct("network", "create", "front")
    stage.duct("network", "create", "back", "--ipv6")
    for name, networks in (
        ("web", ["front"]),
        ("shop", ["front"]),
        ("api", ["front", "back"]),
        ("db", ["back"]),
    ):
        stage.duct("sandbox", "create", name, *(w for n in networks for w in ("--network", n)))
    say("a published port: outside, host, 127.0.0.1, another container and the container itself reach it")
    stage.serve("web", 80)
    stage.serve("db", 5432)
    stage.duct("publish", "web", "8080:80")
    stage.fetch("outside", f"http://{HOST_IP}:8080/", f"web, you are {OUTSIDE_IP}")
    stage.fetch("host", f"http://{HOST_IP}:8080/", "hello from web")
    stage.fetch("host", "http://127.0.0.1:8080/", "hello from web")
    stage.fetch("shop", f"http://{HOST_IP}:8080/", "hello from web")
    stage.fetch("web", f"http://{HOST_IP}:8080/", "hello from web")
    say("networks are apart: only api, which is on both, reaches db; what is not published stays inside")
    database = address_of(stage, "db")
    stage.duct("link", "api", "db:database")
    stage.fetch("api", "http://database:5432/", "hello from db")
    stage.fetch("web", f"http://{database}:5432/", None)
    stage.fetch("outside", f"http://{HOST_IP}:5432/", None)
    say("what was made")
    stage.duct("graph")
    # A name nobody can foresee: root must not write where somebody else has put a link.
    with tempfile.NamedTemporaryFile("w", prefix="ductwork-demo-", suffix=".svg", delete=False) as picture:
        picture.write(run_duct(stage, "graph", "--format", "svg"))
    print(f"  the same as a picture: {picture.name}")
    say("everything away again")
    for server in stage.servers:
        server.kill()
    stage.duct("sandbox", "rm", "web", "shop", "api", "db")
    stage.duct("network", "rm", "front", "back")
    stage.duct("status")
    after = stage.traces()
    for what, was in before.items():
        same = after[what] == was
        print(f"  {'✓' if same else '✗'} {what} as before")
        if not same:
            stage.failures.append(f"{what} differ: {after[what]}")


def run_duct(stage: Stage, *words: str) -> str:
    """Run duct without showing it."""
    done = subprocess.run([DUCT, *words], env=stage.environment, text=True, capture_output=True, check=True)
    return done.stdout


def address_of(stage: Stage, sandbox: str) -> str:
    """Ask duct for a sandbox's first address."""
    found = json.loads(run_duct(stage, "inspect", sandbox, "--json"))
    return str(found[0]["endpoints"][0]["addresses"][0]).partition("/")[0]


def main(words: Sequence[str]) -> int:
    """Run the demo and say how it went."""
    if words:
        print("usage: ./dev demo", file=sys.stderr)
        return 2
    start = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="ductwork-demo-"))
    stage = Stage(folder)
    print("Ductwork on a throwaway host (a network namespace); your own network is not touched.")
    try:
        with stage.standing():
            play(stage)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for failure in stage.failures:
        print(f"FAILED: {failure}")
    if stage.failures:
        return 1
    print(f"\nAll of it worked, in {time.monotonic() - start:.1f} s. Try next, on this machine as root:")
    print("  .venv/bin/duct network create front --plan      # what would be done; nothing is")
    print("  .venv/bin/duct up examples/two-tier.yaml          # a whole topology; `duct down` takes it away")
    print("  .venv/bin/duct connect --help                    # attach a running Docker or Podman container")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
