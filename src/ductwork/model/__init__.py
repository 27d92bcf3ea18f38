"""What the user wants, as frozen values of the standard library only.

Nothing here does I/O or checks more than one object at a time; whether a request fits the rest of the host
(overlaps, names taken) is the engine's business.
"""
