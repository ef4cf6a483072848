"""exchange: networks of other frameworks as ours, and ours as theirs."""
