"""Which subnets and addresses may be given out, decided without any I/O.

The functions are told what is taken and answer with one free choice or with an error that says why there is
none. Whether two hosts choose the same address at the same time is not their business: blocks keep hosts
apart, and the store's revisions decide on one host.
"""
