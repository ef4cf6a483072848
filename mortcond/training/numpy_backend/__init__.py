"""numpy_backend: training with numpy alone, on any processor, with the same arithmetic as the compiled epoch.

Comes in: a Network, settings and data. Goes out: a runner that trains.
"""
