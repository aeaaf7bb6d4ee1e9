"""A Network Service Mesh v1 manager, endpoint and client that trust nobody.

They exist to be talked to by other implementations in tests: whatever the other side does that the protocol does not
allow is collected and reported, and makes the process fail at its end.
"""
