"""The live path, a file per stage, in the order a hop travels. Never torch."""
