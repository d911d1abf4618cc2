"""Helpers of the meznet book: label images with pretrained networks and measure the result."""

__version__ = "0.1.0"
