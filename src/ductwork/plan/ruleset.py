"""The constant rules: the same on a host with one endpoint and with ten thousand.

What grows is in the sets and maps of model/nft_schema. Every rule names interfaces by name (`iifname`): an
index would be resolved in the namespace of whoever loads the text. Nothing here judges traffic that neither
comes from nor goes to one of our bridges, and an accept of ours only ends our own chain.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b

from ductwork.model.marks import LOOPBACK_ANSWER
from ductwork.model.nft_schema import FAMILY, SCHEMAS, TABLE, SetSchema

# Before the -100 at which everybody else translates: at an equal priority whoever loaded last would win.
DNAT_PRIORITY = -105

_GUARD = """\
chain guard {
  type filter hook prerouting priority raw; policy accept;
  # Publishing on 127.0.0.1 needs route_localnet; nobody outside may use that to reach the host's loopback.
  iifname @bridges ip daddr 127.0.0.0/8 drop
}"""

_ANSWERS = f"""\
chain answers {{
  # After the nat hook: with bridge-nf on, tc sees these answers translated already and would drop them.
  type filter hook prerouting priority dstnat + 10; policy accept;
  iifname @bridges ip daddr 127.0.0.0/8 ct direction reply meta mark set meta mark or {LOOPBACK_ANSWER:#x}
}}"""

_PREROUTING = """\
chain prerouting {{
  type nat hook prerouting priority {priority}; policy accept;
  # From the wire to 127.0.0.0/8: translating would save it from the kernel, which drops it by destination.
  ip daddr 127.0.0.0/8 return
  fib daddr type local goto published
}}
chain output {{
  type nat hook output priority {priority}; policy accept;
  fib daddr type local goto published
}}
chain published {{
{lookups}
}}"""

_POSTROUTING = """\
chain postrouting {
  type nat hook postrouting priority srcnat; policy accept;
  # A container that asked for a published port of its own network must hear the answer from the host.
  ct status dnat ip saddr . ip daddr @hairpin4 masquerade
  ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade
  # Asked for on 127.0.0.1: a source nobody could answer to.
  ct status dnat ip saddr 127.0.0.0/8 oifname @bridges masquerade
  iifname @bridges oifname != @bridges jump outbound
}
chain outbound {
  # A published port of ours on the way to somewhere else keeps its client's address.
  ct status dnat return
  snat ip to iifname map @source4
  snat ip6 to iifname map @source6
  iifname @masq masquerade
}"""

_FORWARD = """\
chain forward {
  type filter hook forward priority filter; policy accept;
  iifname @bridges goto from_network
  oifname @bridges goto to_network
}
chain from_network {
  iifname vmap @policies
  ct state established,related accept
  iifname . oifname @same accept
  oifname @bridges goto across
  iifname @internal drop
  # Docker keeps its bridges closed by its policy, which our accepts in its chain would overrule.
  ct status dnat accept
  oifname @guarded drop
  accept
}
chain across {
  # Networks are apart unless both are open; what is published is published to them too unless strict.
  iifname @internal drop
  oifname @internal drop
  iifname @open oifname @open accept
  oifname @strict drop
  ct status dnat accept
  drop
}
chain to_network {
  ct state established,related accept
  oifname @internal drop
  ct status dnat accept
  drop
}"""

_INPUT = """\
chain input {
  type filter hook input priority filter; policy accept;
  iifname @bridges goto from_network_to_host
}
chain from_network_to_host {
  ct state established,related accept
  # The host's own services are the host's business, but another network's gateway is a way into it.
  ip daddr @gateways4 iifname . ip daddr != @own_gateway4 drop
  ip6 daddr @gateways6 iifname . ip6 daddr != @own_gateway6 drop
}"""


def _lookups() -> str:
    # Linux does not translate packets to ::1; without this they would vanish instead of being refused.
    lines = ["  ip6 daddr ::1 return"]
    for digit, family in (("4", "ip"), ("6", "ip6")):
        one = f"meta l4proto . {family} daddr . th dport"
        every = "meta l4proto . th dport"
        for name, key in (
            ("publish", one),
            ("publish_from", f"{one} . {family} saddr"),
            ("publish_any", every),
            ("publish_any_from", f"{every} . {family} saddr"),
        ):
            lines.append(f"  meta l4proto {{ tcp, udp, sctp }} dnat {family} to {key} map @{name}{digit}")
    return "\n".join(lines)


def _declare(schema: SetSchema) -> str:
    kind = "map" if schema.is_map else "set"
    value = " : verdict" if schema.verdict else f" : {' . '.join(schema.value)}" if schema.value else ""
    flags = " flags interval;" if schema.interval else ""
    return (
        f'{kind} {schema.name} {{ type {" . ".join(schema.key)}{value};{flags} comment "{schema.purpose}"; }}'
    )


@cache
def ruleset_digest() -> str:
    """Return a short fingerprint of the rules, by which a newer version knows that it must load its own."""
    return blake2b(render_ruleset("").encode(), digest_size=6).hexdigest()


def render_ruleset(owner: str) -> str:
    """Write our table as `nft -f` reads it; `owner` is the host's id, kept in the table's comment."""
    published = _PREROUTING.format(priority=DNAT_PRIORITY, lookups=_lookups())
    body = "\n".join(
        [
            f'comment "ductwork host {owner}"',
            *(_declare(schema) for schema in SCHEMAS),
            _GUARD,
            published,
            _ANSWERS,
            _POSTROUTING,
            _FORWARD,
            _INPUT,
        ]
    )
    return f"table {FAMILY} {TABLE} {{\n" + "\n".join(f"  {line}" for line in body.splitlines()) + "\n}\n"
