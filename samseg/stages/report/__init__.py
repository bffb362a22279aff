"""The report stage: choose exemplars, draw them, render the page of a night."""
