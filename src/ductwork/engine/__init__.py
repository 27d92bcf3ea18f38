"""Use cases: what `duct network create`, `connect` and all others do, whoever asks.

Each is a change: read the store, stage new records, plan both worlds, journal, commit, apply the difference.
Nothing here speaks netlink, nft or SQL; that is the adapters' trade.
"""
