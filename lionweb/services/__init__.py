"""All writes. Keyword-only, typed, atomic; side effects on commit."""
