"""The report stage: choose exemplars, draw them, render the report page of a night."""
