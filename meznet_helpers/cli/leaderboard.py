"""The command ``meznet leaderboard``: judge and time all labelers of the book."""

from meznet_helpers.cli import options

app = options.group()


@options.command(app)
def leaderboard(out: options.Out = "-", as_json: options.Json = False) -> int:
    """Judge and time all labelers of the book anew.

    Examples
    --------
    meznet leaderboard
    meznet leaderboard --out data/results/leaderboard.csv
    """
    from meznet_helpers.book.leaderboard import build

    options.write(build(), out, as_json, "%.5g")
    return 0
