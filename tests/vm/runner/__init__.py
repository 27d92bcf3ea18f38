"""Runs tests inside a virtual machine with a stock Debian kernel, over this machine's own files.

    kernel.py    get the distribution's kernel package and unpack it in a cache, outside the project
    machine.py   boot it with qemu in software, wait for the end within a limit, clean up
    report.py    the closing line, from what pytest wrote
    __main__.py  `python -m tests.vm.runner [PYTEST ARGS]`, which is `./dev test vm`

The guest sees the machine's files read-only under a layer of memory, and has no network card at all:
nothing done in it can reach the machine or anything beyond. What it does not check: speed, as emulation is
ten or more times slower, hardware network cards, and kernels that the distribution does not ship.
"""
