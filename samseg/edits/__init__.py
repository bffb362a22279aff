"""What people say of classes: the log of edits, and the classes that result from it."""
