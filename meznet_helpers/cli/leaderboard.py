"""The command ``meznet leaderboard``: judge and time all labelers of the book."""

from meznet_helpers.cli import options

app = options.group()


@options.command(app)
def leaderboard(out: options.Out = "-", as_json: options.Json = False) -> int:
    """Judge and time all labelers of the book anew.

    Published nets that are not on this machine get no milliseconds; meznet fetch gets them.

    Examples
    --------
    meznet leaderboard
    meznet leaderboard --out data/results/leaderboard.csv
    """
    from meznet_helpers.book.leaderboard import build
    from meznet_helpers.book.validation_set import absent

    options.write(build(), out, as_json, "%.5g")
    options.complain(f"{name} is not here and was not timed; meznet fetch." for name in absent())
    return 0
