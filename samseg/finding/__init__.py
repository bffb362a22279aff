"""`samseg find`: one example, searched in the whole lake, and kept as a class."""
