"""Elements of every shape our schemas allow, for hypothesis."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st

from ductwork.model.nft_schema import SCHEMAS, FieldType, SetSchema
from ductwork.model.objects import HOST, NftElement, NftField, Verdict

# All the kernel allows in a link's name (dev_valid_name), in UTF-8 of at most 15 bytes.
WILD_IFNAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="/:\0"),
    min_size=1,
    max_size=15,
).filter(lambda name: 0 < len(name.encode()) <= 15 and name not in {".", ".."})
TAME_IFNAMES = st.from_regex(r"[a-z][a-z0-9._-]{0,14}", fullmatch=True)

_FIELDS: dict[FieldType, st.SearchStrategy[NftField]] = {
    "ipv4_addr": st.integers(1, 0xDFFFFFFF).map(IPv4Address),
    "ipv6_addr": st.integers(1, 2**128 - 1).map(IPv6Address),
    # Numbers that nft prints as such; it has names for most others below 143.
    "inet_proto": st.sampled_from([6, 17, 132, 253]),
    "inet_service": st.integers(1, 65535),
    "ether_addr": st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":")),
    "mark": st.integers(0, 2**32 - 1),
}
_NETWORKS: dict[FieldType, st.SearchStrategy[NftField]] = {
    "ipv4_addr": st.tuples(st.integers(1, 0xDFFFFFFF), st.integers(1, 31)).map(
        lambda pair: IPv4Network(pair, strict=False)
    ),
    "ipv6_addr": st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 127)).map(
        lambda pair: IPv6Network(pair, strict=False)
    ),
}
VERDICTS = st.sampled_from(
    [Verdict("accept"), Verdict("drop"), Verdict("jump", "target"), Verdict("goto", "target")]
)


def fields(
    kind: FieldType, ifnames: st.SearchStrategy[str] = WILD_IFNAMES, interval: bool = False
) -> st.SearchStrategy[NftField]:
    """One field's values."""
    if kind == "ifname":
        return ifnames
    return _FIELDS[kind] | _NETWORKS[kind] if interval and kind in _NETWORKS else _FIELDS[kind]


def elements(
    schema: SetSchema, ifnames: st.SearchStrategy[str] = WILD_IFNAMES
) -> st.SearchStrategy[NftElement]:
    """One set's elements."""
    key = st.tuples(*(fields(kind, ifnames, schema.interval) for kind in schema.key))
    value: st.SearchStrategy[tuple[NftField, ...] | Verdict | None] = st.none()
    if schema.verdict:
        value = VERDICTS
    elif schema.value:
        value = st.tuples(*(fields(kind, ifnames) for kind in schema.value))

    return st.builds(NftElement, st.just(HOST), st.just(schema.name), key, value)


ANY_ELEMENT = st.sampled_from(SCHEMAS).flatmap(elements)
