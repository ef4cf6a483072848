"""deploy: a network as files that predict elsewhere, and the runtime that runs them without TensorFlow."""
