"""Training from a configuration file: simulate, run the frozen trunk once, train the rest."""

# from import run


