class CannotStart(Exception):
    """The stack cannot run as things are. The message says what is wrong and what to change."""
