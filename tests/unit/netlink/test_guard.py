"""The guard's messages, judged by pyroute2, and its program, judged by running it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.netlink.oracle import plain, read

from ductwork.kernel.netlink import guard
from ductwork.kernel.netlink.codec import attributes
from ductwork.kernel.netlink.tables import TCMSG, Bpf, Tc
from ductwork.model.marks import LOOPBACK_ANSWER

DROP, NEXT = 2, 0xFFFF_FFFF


def program() -> list[tuple[int, int, int, int]]:
    options = Tc.OPTIONS.parts(attributes(memoryview(guard.add(1)[1].body), TCMSG.size))
    raw = Bpf.OPS.get(options, b"")
    assert Bpf.OPS_LEN.find(options) == len(raw) // 8
    return list(struct.iter_unpack("=HBBI", raw))


def verdict(packet: bytes, mark: int) -> int:
    """Run the program on a packet that begins with its IP header."""
    register, at = 0, 0
    for _ in range(100):
        code, if_true, if_false, k = program()[at]
        at += 1
        match code:
            case 0x30:  # a byte of the packet, from its network header
                register = packet[k - 0xFFF0_0000]
            case 0x20:  # the mark, SKF_AD_OFF + SKF_AD_MARK
                assert k == 0xFFFF_F000 + 20
                register = mark
            case 0x15:
                at += if_true if register == k else if_false
            case 0x45:
                at += if_true if register & k else if_false
            case 0x06:
                return k
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")
    raise AssertionError("it does not end")


@given(st.binary(min_size=4, max_size=4), st.integers(0, 0xFFFF_FFFF))
def test_only_packets_to_loopback_without_our_mark_are_dropped(destination: bytes, mark: int) -> None:
    packet = bytes(12) + b"\x0a\0\0\1" + destination
    dropped = destination[0] == 127 and not mark & LOOPBACK_ANSWER
    assert verdict(packet, mark) == (DROP if dropped else NEXT)


@pytest.mark.parametrize("last", [b"\0\0\0", b"\xff\xff\xff"])
def test_all_of_127(last: bytes) -> None:
    packet = bytes(16) + b"\x7f" + last
    assert verdict(packet, 0) == verdict(packet, ~LOOPBACK_ANSWER & 0xFFFF_FFFF) == DROP
    assert verdict(packet, LOOPBACK_ANSWER) == NEXT


def test_a_filter_at_ingress_with_a_place_of_its_own() -> None:
    place, made = (read(request) for request in guard.add(7))
    assert (place["index"], place["parent"], plain(place)) == (7, 0xFFFF_FFF1, {"TCA_KIND": "clsact"})
    assert (made["index"], made["parent"], made["handle"]) == (7, 0xFFFF_FFF2, 0xD7)
    assert (made["info"] >> 16, struct.pack("=H", made["info"] & 0xFFFF)) == (0xD7D7, b"\x08\x00")
    assert plain(made)["TCA_KIND"] == "bpf"
    assert plain(made)["TCA_OPTIONS"]["TCA_BPF_FLAGS"] == 1


def test_it_is_recognised_by_all_it_is() -> None:
    body = guard.add(7)[1].body
    assert guard.is_guard(memoryview(body))
    assert not guard.is_others(memoryview(body))
    other_program = body.replace(struct.pack("=I", 127), struct.pack("=I", 10))
    assert other_program != body
    other_handle = TCMSG.pack(0, 7, 1, 0xFFFF_FFF2, read(guard.add(7)[1])["info"]) + body[TCMSG.size :]
    for changed in (other_program, other_handle, guard.add(7)[0].body):
        assert not guard.is_guard(memoryview(changed))


def test_places_for_filters() -> None:
    assert guard.decode_place(memoryview(guard.add(7)[0].body)) == (7, True)
    ingress = TCMSG.pack(0, 7, 0xFFFF_0000, 0xFFFF_FFF1, 0) + Tc.KIND.encode("ingress")
    assert guard.decode_place(memoryview(ingress)) == (7, False)
    assert guard.decode_place(memoryview(TCMSG.pack(0, 7, 0, 0, 0) + Tc.KIND.encode("noqueue"))) is None
