"""The commands of `samseg`, by what they work on; `samseg.cli` registers them.

Importing this package loads neither torch nor ray: a command imports what it runs.
"""
