"""What only the chapters need: the exhibits, the published tables, the studies, the leaderboard."""
