"""plots: every drawing of mortcond, in one look; PNG, SVG and the figures that it shows as CSV."""
