"""Settings, recipes and the command line. Does not import torch."""
