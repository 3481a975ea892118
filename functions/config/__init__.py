"""What there is to choose in a run: settings, recipes, the command line. Imports no torch."""
