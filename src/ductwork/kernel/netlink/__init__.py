"""rtnetlink and tc by a codec of our own: links, addresses, routes, neighbours and one filter.

`codec.py` frames attributes, `tables.py` lists them, `links.py`, `layer3.py` and `guard.py` turn objects into
messages and back, `socket.py` exchanges them with the kernel; `batch.py` does steps at once, `owned.py` those
that need a look first, and `route.py` is the port the engine uses. Only what our objects need is here.
Nothing is checked that the kernel checks itself: its refusals come back in its own words. What is sent in one
batch is not a transaction: a message that fails stops none of the others.
"""
