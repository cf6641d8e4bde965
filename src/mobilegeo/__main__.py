"""Lets `python -m mobilegeo` do what `mobilegeo` does."""

from mobilegeo.cli import main

if __name__ == "__main__":
    main()
