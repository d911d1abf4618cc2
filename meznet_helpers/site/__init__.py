"""The site builder: executes the chapters, renders the book and checks every page."""

from meznet_helpers.site.builder import build
