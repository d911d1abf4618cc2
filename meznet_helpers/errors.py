"""The one error that every helper raises for bad input."""


class MeznetError(Exception):
    """One clear sentence that names what is wrong and says what would be right."""
