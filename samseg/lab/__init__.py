"""What no night imports: benchmark, evaluation, training, labelled photo sets."""
