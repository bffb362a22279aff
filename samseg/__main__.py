"""`python -m samseg` is the `samseg` command."""

from samseg.cli import main

if __name__ == "__main__":
    main()
