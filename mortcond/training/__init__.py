"""training: how weights are found. Epochs by gradient, or a logistic regression; teachers, choosing, calibration.

Comes in: a Network and a data set. Goes out: the same Network with trained weights, and its history.
"""
