"""The page of ``meznet ui``: drop a picture, choose a labeler, see its bars and what it saw."""
