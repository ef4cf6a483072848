"""tensorflow_backend: an epoch as one XLA program.

Comes in: a Network, settings and data. Goes out: compiled functions, and a runner that trains with them.
"""
