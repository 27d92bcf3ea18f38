"""`python -m tests.vm.runner [PYTEST ARGS]`: run tests in the VM and end with one line of counts."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.vm.runner.kernel import NotRunError, provide_kernel
from tests.vm.runner.machine import Outcome, run_in_vm
from tests.vm.runner.report import Counts, read_counts

PROJECT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 600
_TEST_TIMEOUT_S = 450
_LAST_LINES = 30

# The longest first; then the fast part of the other folders that would notice a kernel of another mind.
_CHOSEN = (
    "tests/vm/test_demo.py",
    "tests/vm/test_d6_d7_sctp.py",
    "tests/e2e/test_d6_publish_to_other_machines.py::test_d6_another_machine_reaches_it_with_its_own_address[1]",
    "tests/netns/test_netlink_facts.py",
    "tests/netns/test_netlink_guard.py",
    "tests/netns/test_nft_facts.py",
)
# Facts about newer kernels; seen with 6.1.0-56. Neither changes what we do, which is right for both.
_ELSE_ON_6_1 = (
    # A range inside another is taken for one that is there, and adding it is success without effect.
    "tests/netns/test_nft_facts.py::test_fact_a_range_inside_another_must_be_added_first",
    # One message that sets a link up and switches its link-local address off leaves no address.
    "tests/netns/test_netlink_facts.py::test_fact_flags_act_before_the_settings_of_their_message",
)
# Loading a module adds settings to every namespace: that is the kernel's doing, and must not look like ours.
_MODULES = (
    "sctp",
    "br_netfilter",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_tables",
    "ip_tables",
    "ip6_tables",
)


def main(words: Sequence[str]) -> int:
    """Run, show, count; 0 when every test passed, or when the VM part has no place on this machine."""
    try:
        kernel = provide_kernel()
    except NotRunError as reason:
        print(f"VM: not run: {reason}")
        return 0
    print(f"VM: Linux {kernel.release}, emulated: about ten times slower than this machine", flush=True)
    with tempfile.TemporaryDirectory(prefix="ductwork-vm-") as name:
        work = Path(name)
        outcome = run_in_vm(kernel, _script(words), work, timeout_s=TIMEOUT_S, show=_show)
        counts = read_counts(work / "junit.xml")
        if outcome.exit_code is None:
            _tell_hang(outcome, (work / "log").read_text(errors="replace"))
            counts = Counts(0, 1)
    print(f"VM: {outcome.seconds:.0f} s", flush=True)
    print(counts, flush=True)
    return 0 if outcome.exit_code == 0 and counts.passed and not counts.failed else 1


def _script(words: Sequence[str]) -> str:
    named = any(word.startswith("tests/") for word in words)
    pytest = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "2",
            "--dist",
            "worksteal",
            "--timeout",
            str(_TEST_TIMEOUT_S),
        ),
        *("-p", "no:cacheprovider", "--junitxml", "/run/vm/junit.xml"),
        *(() if named else (*_CHOSEN, *(f"--deselect={fact}" for fact in _ELSE_ON_6_1))),
        *words,
    ]
    lines = [
        f"modprobe --all {shlex.join(_MODULES)}",
        f"cd {shlex.quote(str(PROJECT))}",
        "export DUCTWORK_NO_SKIP=1",
        f"exec {shlex.join(pytest)}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _tell_hang(outcome: Outcome, log: str) -> None:
    print(f"VM: no end after {outcome.seconds:.0f} s (the limit is {TIMEOUT_S} s)")
    for what, text in (("console", outcome.console), ("tests", log)):
        print(f"-- the last lines of the {what}:")
        print("\n".join(text.splitlines()[-_LAST_LINES:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
