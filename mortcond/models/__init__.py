"""models: the networks of the paper, as plain weights and as Keras models, and how they are trained."""
