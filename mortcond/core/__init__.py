"""core: what every room may use: errors, files that are never half written, manifests, the console, the session."""
