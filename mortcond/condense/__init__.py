"""condense: networks made smaller. Comes in: a Network and training data. Goes out: a smaller Network."""
